// The authorisation page: scan, choose an account, untick permissions, confirm.
import { accountName, call, clock, guarded, h, text } from "./dom.js";
import { kindName, setBoxes, ticked } from "./permissions.js";

const main = document.getElementById("main");
const page = document.documentElement;
const link = Object.fromEntries(new URLSearchParams(location.search));
link.on_phone = page.dataset.kind === "phone" ? "1" : "";
document.title = text("a_title");
page.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

const face = (account) =>
  h("img.face", { src: `/mmopen/${account.appid}/0`, alt: "", width: 44, height: 44 });

const screen = h("div.screen");
const phone = h(
  "div.phone",
  h("div.status", h("span", clock(Date.now() / 1000)), h("i.signal"), h("i.battery")),
  screen,
);

function show(title, back, ...content) {
  screen.replaceChildren(
    h(
      "div.bar",
      back ? h("button.back", { type: "button", ariaLabel: text("a_back"), onclick: back }) : null,
      h("b", title),
    ),
    h("div.sheet", content),
  );
}

function cancel() {
  show(text("a_title"), null, h("p.end", text("a_cancelled")));
}

const choose = guarded(async () => {
  const offer = await call("GET", `authorisations?${new URLSearchParams(link)}`);
  const rows = offer.accounts.map((account) =>
    h(
      "button.account",
      { type: "button", onclick: () => confirm(account, offer.sets) },
      face(account),
      h("span", h("b", accountName(account.name)), h("small", kindName(account))),
      account.authorised ? h("span.pill", text("a_already")) : null,
    ),
  );
  show(
    text("a_title"),
    null,
    h("p.ask", rows.length ? text("a_choose") : text("a_none")),
    h("div.accounts", rows),
    h("button.plain", { type: "button", onclick: cancel }, text("a_cancel")),
  );
});

function confirm(account, sets) {
  const boxes = setBoxes(sets, sets);
  const problem = h("p.problem", { role: "alert" });
  const go = async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      const answer = await call("POST", "authorisations", {
        ...link,
        appid: account.appid,
        func_ids: ticked(boxes),
      });
      done(answer.redirect);
    } catch (refused) {
      const code = refused.message.split(" ")[0];
      const known = `a_${code}`;
      problem.textContent =
        text(known) === known ? text("failed", { detail: refused.message }) : text(known);
    }
  };
  show(
    text("a_title"),
    choose,
    h("div.who", face(account), h("b", accountName(account.name)), h("small", kindName(account))),
    h(
      "form",
      { onsubmit: go },
      h("p.ask", text("a_sets")),
      boxes,
      problem,
      h("button.green", text("a_confirm")),
      h("button.plain", { type: "button", onclick: cancel }, text("a_cancel")),
    ),
  );
}

function done(redirect) {
  show(
    text("a_title"),
    null,
    h("i.tick"),
    h("p.end", h("b", text("a_done")), " ", text(redirect ? "a_going" : "a_lost")),
  );
  if (redirect) location.assign(redirect);
}

if (page.dataset.refused) {
  main.replaceChildren(
    h(
      "section.panel.refused",
      h("h1", text("a_refused")),
      h("p", text(`a_${page.dataset.refused}`, { detail: page.dataset.detail })),
    ),
  );
} else if (link.on_phone) {
  main.classList.add("inside");
  main.replaceChildren(phone);
  choose();
} else {
  phone.hidden = true;
  const scan = () => {
    phone.hidden = false;
    choose();
    phone.scrollIntoView({ behavior: "smooth", block: "nearest" });
  };
  main.replaceChildren(
    h(
      "section.panel",
      h("h1", text("a_title")),
      h("p.help", text("a_lead")),
      h(
        "button.code",
        { type: "button", onclick: scan },
        h("span.squares", Array.from({ length: 3 }, () => h("i"))),
        h("b", text("a_scan")),
      ),
      h("p.help", text("a_scan_help")),
    ),
    phone,
  );
}
