// Permission sets and kinds of accounts, as the administrator sees them.
import { h, text } from "./dom.js";

export function kindName(account) {
  const unverified = account.kind === "service" && !account.verified;
  return text(unverified ? "kind_unverified" : `kind_${account.kind}`);
}

function setName(id) {
  const known = text(`set_${id}`);
  return known === `set_${id}` ? text("set_other", { n: id }) : known;
}

/** A checkbox for each of `sets`; `granted` are ticked. */
export function setBoxes(sets, granted) {
  return h(
    "div.sets",
    sets.map((id) =>
      h(
        "label",
        h("input", { type: "checkbox", value: String(id), checked: granted.includes(id) }),
        h("span", setName(id)),
        h("small", String(id)),
      ),
    ),
  );
}

export const ticked = (boxes) =>
  [...boxes.querySelectorAll(":checked")].map((box) => Number(box.value));
