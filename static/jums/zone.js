// Tells the server which zone to show times in, for the next page on.
(function () {
  "use strict";
  let zone = "";
  try {
    zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
  } catch (error) {
    return; // times stay in the server's zone
  }
  if (zone && !document.cookie.includes("jums_tz=" + zone)) {
    const secure = location.protocol === "https:" ? ";secure" : "";
    document.cookie = "jums_tz=" + zone + ";path=/;max-age=31536000;samesite=lax" + secure;
  }
})();
