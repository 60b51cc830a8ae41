// Small manners of the console's own forms, by data attributes:
// form[data-once]: the pressed button is shut until the answer comes, so that nobody
// sends twice; form[data-confirm="question"]: asks first; [data-submits] submits its form
// on change.
(function () {
  "use strict";

  document.addEventListener("submit", function (event) {
    const form = event.target;
    const question = (event.submitter && event.submitter.dataset.confirm) || form.dataset.confirm;
    if (question && !window.confirm(question)) {
      event.preventDefault();
      return;
    }
    if (form.dataset.once !== undefined) {
      // After this event: a disabled button's name would not be sent.
      setTimeout(function () {
        for (const button of form.querySelectorAll("button")) {
          button.disabled = true;
        }
      }, 0);
    }
  });

  // The browser's Back shows the page as it was left, with its buttons still shut.
  window.addEventListener("pageshow", function (event) {
    if (event.persisted) {
      for (const button of document.querySelectorAll("form[data-once] button")) {
        button.disabled = false;
      }
    }
  });

  document.addEventListener("change", function (event) {
    if (event.target.dataset && event.target.dataset.submits !== undefined) {
      event.target.form.requestSubmit();
    }
  });

  // On load, Unfold's own script wants to name a chosen file in a field of Unfold's file
  // widget, and fails where there is none: to it, our plain fields are taken care of.
  for (const input of document.querySelectorAll("input.input[type=file]")) {
    input.hasChangeListener = true;
  }
})();
