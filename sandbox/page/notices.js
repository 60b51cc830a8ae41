// Subscribe-notifications on a phone: the article with its component, the dialog, the
// settings.
import { call, guarded, h, text, toast } from "./dom.js";

const bar = (title, back) =>
  h(
    "div.bar",
    h("button.back", { type: "button", ariaLabel: text("chats"), onclick: back }),
    h("b", title),
  );

/** What came of a press: {template id: accept, reject, cancel or filter}. */
function told(answer) {
  if (answer.errCode) return toast(`${answer.errCode} ${answer.errMsg}`, true);
  const all = Object.values(answer.status);
  const parts = ["accept", "reject", "filter"]
    .map((name) => [name, all.filter((status) => status === name).length])
    .filter(([, n]) => n)
    .map(([name, n]) => text(`st_${name}`, { n }));
  if (!answer.dialog) parts.push(text("st_kept"));
  toast(parts.join(" ") || text("st_cancel"));
}

function dialog(account, offered, answer) {
  const rows = offered.ask.map((template) => {
    const box = h("input", { type: "checkbox", checked: true, value: template.template_id });
    return {
      box,
      row: h(
        "label.ask",
        box,
        h("span", h("b", template.title), h("small", template.example.trim().split("\n")[0])),
      ),
    };
  });
  const keep = h("input", { type: "checkbox" });
  const close = (choices) => {
    sheet.remove();
    answer(choices, keep.checked);
  };
  const every = (choose) => () =>
    close(Object.fromEntries(rows.map(({ box }) => [box.value, choose(box)])));
  const button = (look, name, action) =>
    h(`button.${look}`, { type: "button", onclick: action }, text(name));
  const sheet = h(
    "div.veil",
    h(
      "section.sheet",
      { role: "dialog", ariaLabel: text("component") },
      h("button.shut", { type: "button", ariaLabel: text("cancel"), onclick: () => close({}) }),
      h("p", text("dialog", { account })),
      rows.map(({ row }) => row),
      h("label.keep", keep, text("keep")),
      h(
        "footer",
        button("quiet", "refuse", every(() => "reject")),
        button("go", "allow", every((box) => (box.checked ? "accept" : "reject"))),
      ),
    ),
  );
  return sheet;
}

function component(appid, account, phone, article, screen) {
  const ids = article.templates.map((template) => template.template_id);
  const press = { appid, openid: phone.openid, template_ids: ids, scene: 2 };
  const answer = (choices, keep) =>
    guarded(async () => told(await call("POST", "popup", { ...press, choices, keep })))();
  const open = guarded(async () => {
    const offered = await call("POST", "popup", { ...press, look: true });
    if (offered.errCode) return told(offered);
    if (!offered.ask.length) return answer({ "": "" }, false);
    screen().append(
      dialog(account, offered, (choices, keep) =>
        // A closed dialog names nothing, and no choice at all would mean "accept".
        answer(Object.keys(choices).length ? choices : { "": "" }, keep),
      ),
    );
  });
  return h(
    "section.component",
    h("h4", text("component"), h("small", text(article.long_term ? "long_term" : "once"))),
    h("ul", article.templates.map((template) => h("li", template.title))),
    h("button.go", { type: "button", onclick: open }, text("subscribe")),
  );
}

/** The article: as many components as the account's templates need. */
export function articleScreen(appid, account, phone, back) {
  const page = h("div.article");
  guarded(async () => {
    const found = await call("GET", `articles?appid=${appid}`);
    page.replaceChildren(
      ...(found.length ? [] : [h("p.lead", text("article_none"))]),
      ...found.flatMap((article) => [
        h("div.cover"),
        h("h3", text(article.long_term ? "article_always" : "article_once")),
        h("p.lead", text("article_lead")),
        component(appid, account, phone, article, () => page.parentElement),
      ]),
    );
  })();
  return [bar(account, back), page];
}

/** The account's notification settings, where people take back what they accepted. */
export function settingsScreen(appid, phone, back) {
  const page = h("div.article");
  const change = (to) =>
    guarded(async () => {
      const body = { appid, openid: phone.openid, ...to };
      show(await call("PATCH", "acceptances", body));
    });
  const permits = (template) =>
    template.left ? (template.type === 3 ? "permits_always" : "permits") : "permits_none";
  function show(person) {
    page.replaceChildren(
      h(
        "label.switch",
        text("main_switch"),
        h("input", {
          type: "checkbox",
          checked: !person.off,
          onchange: change({ off: !person.off }),
        }),
      ),
      ...person.templates.map((template) =>
        h(
          "div.permit",
          h("span", template.title, h("small", text(permits(template), { n: template.left }))),
          template.left
            ? h(
                "button.quiet",
                {
                  type: "button",
                  onclick: change({ template_id: template.template_id, status: "reject" }),
                },
                text("refused_here"),
              )
            : null,
        ),
      ),
    );
  }
  guarded(async () =>
    show(await call("GET", `acceptances?appid=${appid}&openid=${phone.openid}`)),
  )();
  return [bar(text("settings"), back), page];
}

/** What mp.weixin.qq.com shows of the account's subscribe-notifications. */
export function noticesPanel(account) {
  const panel = h("div");
  guarded(async () => {
    const found = await call("GET", `subscriptions/${account.appid}`);
    const names = found.categories.map((id) => found.category_names[id]).join(", ");
    panel.replaceChildren(
      h("p.help", text("notices_count", { n: found.notices.length, names })),
      h(
        "div.templates",
        found.notices.map((notice) =>
          h(
            "article.template",
            h(
              "header",
              h("b", notice.title),
              h("span.pill", text(notice.type === 3 ? "long_term" : "once")),
            ),
            h("pre", notice.content.trim()),
            h("footer", h("code", notice.priTmplId)),
          ),
        ),
      ),
    );
  })();
  return panel;
}
