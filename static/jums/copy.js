// Copies the text of [data-copy] to the clipboard and says so. Works for parts of the
// page that come later, and on plain http, where navigator.clipboard does not exist.
(function () {
  "use strict";

  function copyOldWay(text) {
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    area.style.opacity = "0";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }

  async function copy(text) {
    if (navigator.clipboard && window.isSecureContext) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch (error) {
        // Refused, as inside some frames: the old way may still be allowed.
      }
    }
    return copyOldWay(text);
  }

  document.addEventListener("click", async function (event) {
    const button = event.target.closest("button[data-copy]");
    if (!button || !(await copy(button.dataset.copy))) {
      return;
    }
    const label = button.textContent;
    button.textContent = button.dataset.copied || label;
    button.classList.add("is-done");
    button.disabled = true;
    setTimeout(function () {
      button.textContent = label;
      button.classList.remove("is-done");
      button.disabled = false;
    }, 1500);
  });
})();
