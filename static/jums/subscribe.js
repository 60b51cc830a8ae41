// The hosted subscribe page: sets WeChat's JS-SDK up and says what its button answered.
// Nothing is sent to us from here. What was accepted, WeChat tells our server itself.
(function () {
  "use strict";

  const place = document.getElementById("subscribe");
  const button = document.getElementById("subscribe-button");
  const line = place.querySelector(".said");
  const texts = place.dataset;

  function say(text, look) {
    line.textContent = text;
    line.className = "said" + (look ? " is-" + look : "");
    line.hidden = false;
  }

  if (typeof wx === "undefined") {
    say(texts.blocked, "bad");
    return;
  }

  // The first word counts: a refused configuration also cannot show the button.
  let refused = false;
  wx.error(function (answer) {
    const words = String((answer && answer.errMsg) || "");
    refused = true;
    if (words.includes("domain")) {
      say(texts.domain, "bad");
    } else if (words.includes("signature")) {
      say(texts.signatureWrong, "bad");
    } else {
      say(texts.later + " (" + words + ")", "bad");
    }
  });
  document.addEventListener("WeixinOpenTagsError", function () {
    if (!refused) {
      say(texts.old, "bad");
    }
  });

  // {"TPL": "{\"status\":\"accept\"}"}: JSON inside JSON, as text.
  function statuses(detail) {
    const found = {};
    try {
      const all = JSON.parse((detail && detail.subscribeDetails) || "{}");
      for (const id of Object.keys(all)) {
        const one = typeof all[id] === "string" ? JSON.parse(all[id]) : all[id];
        found[id] = one.status;
      }
    } catch (error) {
      return {};
    }
    return found;
  }

  button.addEventListener("success", function (event) {
    const found = statuses(event.detail);
    const values = Object.values(found);
    for (const row of document.querySelectorAll("[data-template]")) {
      row.classList.toggle("is-accepted", found[row.dataset.template] === "accept");
    }
    if (values.includes("accept")) {
      say(texts.accepted, "good");
    } else {
      say(values.includes("filter") ? texts.filtered : texts.none, "");
    }
  });

  button.addEventListener("error", function (event) {
    const code = Number(event.detail && event.detail.errCode);
    if (code === 20004) {
      say(texts.off, "bad");
    } else if ([10001, 10004, 20001, 20002, 20003, 20005].includes(code)) {
      say(texts.templatesWrong + " (" + code + ")", "bad");
    } else {
      say(texts.later, "bad");
    }
  });

  wx.config({
    debug: false,
    appId: texts.appid,
    timestamp: Number(texts.timestamp),
    nonceStr: texts.nonce,
    signature: texts.signature,
    jsApiList: [],
    openTagList: ["wx-open-subscribe"],
  });
})();
