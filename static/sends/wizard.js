// The steps of a send: the template's card beside the list, placeholders put in where
// the cursor was, one person's phone that follows what is typed.
(function () {
  "use strict";

  const WAIT_MS = 250;

  // -- 1: the card of the chosen template ------------------------------------------------
  const card = document.querySelector("[data-card]");
  document.addEventListener("change", async function (event) {
    const choice = event.target.closest("[data-card-url]");
    if (!card || !choice) {
      return;
    }
    const answer = await fetch(choice.dataset.cardUrl, { credentials: "same-origin" });
    if (answer.ok && !answer.redirected) {
      card.innerHTML = await answer.text();
    }
  });

  // -- 2: how many lines were pasted -------------------------------------------------------
  document.addEventListener("input", function (event) {
    const shown = event.target.dataset && event.target.dataset.countsLines;
    if (!shown) {
      return;
    }
    const place = document.querySelector(shown);
    const lines = event.target.value.match(/[^\s,;，；][^\r\n\t,;，；]*/g);
    const count = (lines ? lines.length : 0).toLocaleString();
    place.textContent = place.dataset.text.replace("{n}", count);
  });

  // -- 3: placeholders ---------------------------------------------------------------------
  let lastText = document.querySelector("[data-text]");
  document.addEventListener("focusin", function (event) {
    if (event.target.matches && event.target.matches("[data-text]")) {
      lastText = event.target;
    }
  });
  document.addEventListener("click", function (event) {
    const chip = event.target.closest("[data-chip]");
    if (!chip || !lastText) {
      return;
    }
    const start = lastText.selectionStart ?? lastText.value.length;
    const end = lastText.selectionEnd ?? start;
    lastText.setRangeText("{{" + chip.dataset.chip + "}}", start, end, "end");
    lastText.focus();
    lastText.dispatchEvent(new Event("input", { bubbles: true }));
  });

  // -- 3 and 4: the phone of one person ------------------------------------------------------
  const preview = document.querySelector("[data-preview]");
  if (!preview) {
    return;
  }
  const form = document.querySelector("form[data-values]");
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  let timer = 0;
  let asked = 0;

  async function show(extra) {
    const mine = ++asked;
    const body = form ? new FormData(form) : new FormData();
    body.set("csrfmiddlewaretoken", token);
    if (form) {
      body.set("typed", "1");
    }
    const person = preview.querySelector("[data-person]");
    body.set("seen", person ? person.dataset.person : "0");
    for (const name of Object.keys(extra)) {
      body.set(name, extra[name]);
    }
    const answer = await fetch(preview.dataset.preview, {
      method: "POST",
      body: body,
      credentials: "same-origin",
    });
    if (mine !== asked || !answer.ok || answer.redirected) {
      return; // something newer was asked meanwhile
    }
    const finding = preview.contains(document.activeElement)
      && document.activeElement.matches("[data-find]");
    preview.innerHTML = await answer.text();
    if (finding) {
      preview.querySelector("[data-find]")?.focus();
    }
    const now = preview.querySelector("[data-person]");
    const field = document.querySelector("[data-person-field]");
    if (now && field) {
      field.value = now.dataset.person;
      const name = preview.querySelector(".person .strong");
      document.querySelector("[data-person-placeholder]").placeholder =
        name ? name.textContent : "";
    }
  }

  document.addEventListener("input", function (event) {
    if (form && form.contains(event.target) && !preview.contains(event.target)) {
      clearTimeout(timer);
      timer = setTimeout(() => show({}), WAIT_MS);
    }
  });
  document.addEventListener("click", function (event) {
    const turn = event.target.closest("[data-turn]");
    const person = event.target.closest("[data-show-person]");
    if (turn) {
      show({ turn: turn.dataset.turn });
    } else if (person) {
      show({ q: person.dataset.showPerson });
      preview.scrollIntoView({ behavior: "smooth", block: "nearest" });
    }
  });
  preview.addEventListener("keydown", function (event) {
    if (event.key === "Enter" && event.target.matches("[data-find]")) {
      event.preventDefault(); // the form around it is not meant
      show({ q: event.target.value });
    }
  });
})();
