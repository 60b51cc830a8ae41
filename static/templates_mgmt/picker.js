// Picking keywords: the picked ones stand first, in the order of the message; arrows and
// dragging change it, the phone beside follows. Without this script the list still
// works, in the library's order.
(function () {
  "use strict";

  const form = document.querySelector("form[data-picker]");
  if (!form) {
    return;
  }
  const list = form.querySelector("ol");
  const least = Number(form.dataset.least);
  const most = Number(form.dataset.most);
  const card = document.querySelector("[data-preview] dl");
  const original = [...list.children];

  const box = (pick) => pick.querySelector("input");
  const picked = () => [...list.children].filter((pick) => box(pick).checked);
  const free = () => original.filter((pick) => !box(pick).checked);

  function show() {
    const chosen = picked();
    form.querySelector("[data-count]").textContent = form.dataset.counted.replace(
      "{n}",
      chosen.length,
    );
    form.querySelector("[data-add]").disabled = chosen.length < least;
    for (const pick of list.children) {
      const place = chosen.indexOf(pick);
      box(pick).disabled = place < 0 && chosen.length >= most;
      pick.querySelector("[data-move='-1']").disabled = place <= 0;
      pick.querySelector("[data-move='1']").disabled = place === chosen.length - 1;
    }
    card.replaceChildren(
      ...chosen.flatMap((pick) => {
        const name = document.createElement("dt");
        const value = document.createElement("dd");
        name.textContent = pick.dataset.name;
        value.textContent = pick.dataset.example;
        return [name, value];
      }),
    );
  }

  function say(pick) {
    form.querySelector("[data-said]").textContent = form.dataset.moved
      .replace("{name}", pick.dataset.name)
      .replace("{n}", picked().indexOf(pick) + 1);
  }

  // The picked ones first; the others as the library has them.
  list.addEventListener("change", function (event) {
    const pick = event.target.closest("[data-pick]");
    const others = picked().filter((other) => other !== pick);
    list.append(...others, ...(box(pick).checked ? [pick] : []), ...free());
    box(pick).focus();
    show();
  });

  list.addEventListener("click", function (event) {
    const button = event.target.closest("[data-move]");
    if (!button) {
      return;
    }
    const pick = button.closest("[data-pick]");
    if (button.dataset.move === "1") {
      pick.nextElementSibling.after(pick);
    } else {
      pick.previousElementSibling.before(pick);
    }
    show();
    say(pick);
    // At an end of the list the button is off: the other one takes the keys.
    (button.disabled ? pick.querySelector("[data-move]:enabled") : button)?.focus();
  });

  list.addEventListener("pointerdown", function (event) {
    const grip = event.target.closest("[data-grip]");
    if (!grip) {
      return;
    }
    event.preventDefault();
    const pick = grip.closest("[data-pick]");
    let height = event.clientY;
    pick.classList.add("is-dragged");
    grip.setPointerCapture(event.pointerId);

    function move(moved) {
      const under = picked().find(function (other) {
        const at = other.getBoundingClientRect();
        return other !== pick && moved.clientY > at.top && moved.clientY < at.bottom;
      });
      if (under) {
        const down = moved.clientY > height;
        const at = under.getBoundingClientRect();
        const middle = at.top + at.height / 2;
        if (down ? moved.clientY > middle : moved.clientY < middle) {
          under[down ? "after" : "before"](pick);
          show();
        }
      }
      height = moved.clientY;
    }

    function drop() {
      grip.removeEventListener("pointermove", move);
      pick.classList.remove("is-dragged");
      say(pick);
    }

    grip.addEventListener("pointermove", move);
    grip.addEventListener("lostpointercapture", drop, { once: true });
  });

  show();
})();
