// The account console: the places of mp.weixin.qq.com that matter here.
import { call, clockSeconds, guarded, h, number, text, toast } from "./dom.js";
import { kindName } from "./permissions.js";
import { noticesPanel } from "./notices.js";

export function field(label, input, help) {
  return h("label.field", h("span", label), input, help ? h("small", help) : null);
}

export function choice(values, chosen) {
  const select = h(
    "select",
    values.map(([value, label]) => h("option", { value }, label)),
  );
  select.value = chosen;
  return select;
}

export function copyable(value, hidden = false) {
  const shown = h("code", hidden ? "•".repeat(16) : value);
  const copy = h(
    "button.quiet",
    {
      type: "button",
      onclick: guarded(async () => {
        await navigator.clipboard.writeText(value);
        toast(text("copied"));
      }),
    },
    text("copy"),
  );
  if (!hidden) return h("span.copyable", shown, copy);
  const reveal = h(
    "button.quiet",
    {
      type: "button",
      onclick: () => {
        const covered = shown.textContent.startsWith("•");
        shown.textContent = covered ? value : "•".repeat(16);
        reveal.textContent = text(covered ? "hide" : "show");
      },
    },
    text("show"),
  );
  return h("span.copyable", shown, reveal, copy);
}

const section = (name, ...content) =>
  h("section.panel", { id: `s-${name}` }, h("h2", text(name)), content);

export const line = (name, value) => h("div.line", h("span", text(name)), value);

function identity(account) {
  return section(
    "developer_id",
    line("appid", copyable(account.appid)),
    line("secret", copyable(account.secret, true)),
    line("original_id", copyable(account.original_id)),
    line("kind", h("span", kindName(account))),
  );
}

function whitelist(account, reload) {
  const box = h("textarea", { rows: 5, spellcheck: false, ariaLabel: text("whitelist") });
  box.value = (account.ip_whitelist ?? []).join("\n");
  const save = guarded(async () => {
    const entries = box.value.split(/\s+/).filter(Boolean);
    await call("PATCH", `accounts/${account.appid}`, { ip_whitelist: entries });
    toast(text("saved"));
    reload();
  });
  return section(
    "whitelist",
    h("p.help", text(account.ip_whitelist === null ? "whitelist_off" : "whitelist_help")),
    h("form", { onsubmit: save }, box, h("button.go", text("save"))),
  );
}

function server(account, reload) {
  const now = account.callback ?? { mode: "plain", format: "xml" };
  const url = h("input", { type: "url", value: now.url ?? "", required: true });
  url.placeholder = "http://127.0.0.1:8000/v1/wechatoa/callback/…";
  const token = h("input", { value: now.token ?? "", required: true, spellcheck: false });
  const key = h("input", { value: now.encoding_aes_key ?? "", spellcheck: false });
  const mode = choice(
    ["plain", "compatible", "safe"].map((name) => [name, text(`mode_${name}`)]),
    now.mode,
  );
  const format = choice(
    [
      ["xml", "XML"],
      ["json", "JSON"],
    ],
    now.format,
  );
  const outcome = h("p.outcome", { role: "status" });
  const save = guarded(async () => {
    outcome.className = "outcome";
    outcome.textContent = text("checking");
    const asked = {
      appid: account.appid,
      url: url.value.trim(),
      token: token.value.trim(),
      encoding_aes_key: key.value.trim(),
      mode: mode.value,
      format: format.value,
    };
    try {
      const { passed, detail } = await call("POST", "callback", asked);
      outcome.className = passed ? "outcome good" : "outcome bad";
      outcome.textContent = text(passed ? "check_passed" : "check_failed", { detail });
    } catch (failure) {
      outcome.className = "outcome bad";
      outcome.textContent = text("check_failed", { detail: failure.message });
    }
  });
  const remove = guarded(async () => {
    await call("PATCH", `accounts/${account.appid}`, { callback: null });
    reload();
  });
  return section(
    "server",
    h("p.help", text(account.callback ? "server_help" : "not_configured"), " ", account.callback ? null : text("server_help")),
    h(
      "form",
      { onsubmit: save },
      field(text("url"), url),
      h("div.two", field(text("token"), token), field(text("mode"), mode)),
      h("div.two", field(text("aes_key"), key), field(text("format"), format)),
      h(
        "div.row",
        h("button.go", text("check_and_save")),
        account.callback
          ? h("button.quiet", { type: "button", onclick: remove }, text("remove"))
          : null,
      ),
      outcome,
    ),
  );
}

function templates(account, library, reload) {
  const remove = (template) =>
    guarded(async () => {
      await call("DELETE", `templates/${account.appid}/${template.template_id}`);
      reload();
    });
  const cards = account.templates.map((template) =>
    h(
      "article.template",
      h(
        "header",
        h("b", template.title),
        h("span.pill", text(template.primary_industry ? "historical" : "category")),
      ),
      h("pre", template.content.trim()),
      h(
        "footer",
        copyable(template.template_id),
        h("button.quiet", { type: "button", onclick: remove(template) }, text("remove")),
      ),
    ),
  );
  const short = choice(
    Object.entries(library).map(([id, { title }]) => [id, `${id} ${title}`]),
    Object.keys(library)[0],
  );
  const keywords = h("div.checks");
  const offer = () =>
    keywords.replaceChildren(
      ...library[short.value].keywords.map((name) =>
        h("label", h("input", { type: "checkbox", value: name, checked: true }), name),
      ),
    );
  short.onchange = offer;
  offer();
  const add = guarded(async () => {
    const names = [...keywords.querySelectorAll(":checked")].map((box) => box.value);
    await call("POST", "templates", {
      appid: account.appid,
      template_id_short: short.value,
      keyword_name_list: names,
    });
    reload();
  });
  return section(
    "templates",
    h("p.help", text("templates_count", { n: account.templates.length })),
    h("div.templates", cards),
    h(
      "form.add",
      { onsubmit: add },
      field(text("add_template"), short),
      field(text("keywords"), keywords),
      h("button.go", text("add")),
    ),
  );
}

function quotas(account) {
  return section(
    "quotas",
    Object.entries(account.limits).map(([path, limit]) => {
      const used = account.used[path] ?? 0;
      return h(
        "div.quota",
        h("code", path),
        h("meter", { min: 0, max: limit, value: used, ariaLabel: path }),
        h("span", text("used_of", { used: number(used), limit: number(limit) })),
      );
    }),
  );
}

export function table(heads, rows, none) {
  if (!rows.length) return h("p.help", none);
  return h(
    "div.scroll",
    h(
      "table",
      h("thead", h("tr", heads.map((head) => h("th", text(head))))),
      h("tbody", rows.map((cells) => h("tr", cells.map((cell) => h("td", cell))))),
    ),
  );
}

function pushes(account) {
  const rows = [...account.pushes].reverse().map((push) => [
    clockSeconds(push.at),
    h("span", push.event, push.status ? h("small", push.status) : null),
    String(push.attempts),
    h(
      `span.${push.http_status === 200 ? "good" : "bad"}`,
      push.http_status ? `HTTP ${push.http_status} ` : "",
      push.answer.slice(0, 60),
    ),
  ]);
  return section("pushes", table(["at", "event", "attempts", "answer"], rows, text("pushes_none")));
}

function log(lines) {
  const rows = lines.map((entry) => [
    clockSeconds(entry.at),
    h("code", entry.path),
    h(
      `span.${entry.errcode ? "bad" : "good"}`,
      entry.errcode ? `${entry.errcode} ` : "ok",
      h("small", entry.errmsg),
    ),
    entry.ip,
  ]);
  return section("log", table(["at", "path", "answer", "from"], rows, text("log_none")));
}

export function console_(main, appid) {
  async function load() {
    const [state, lines] = await Promise.all([
      call("GET", "state"),
      call("GET", `log?limit=40&appid=${appid}`),
    ]);
    const account = state.accounts.find((a) => a.appid === appid);
    const reload = guarded(load);
    const names = ["developer_id", "whitelist", "server", "templates", "notices", "quotas", "pushes", "log"];
    main.replaceChildren(
      h(
        "nav.side",
        names.map((name) =>
          h(
            "button",
            {
              type: "button",
              onclick: () => document.getElementById(`s-${name}`).scrollIntoView({ behavior: "smooth" }),
            },
            text(name),
          ),
        ),
      ),
      h(
        "div.panels",
        identity(account),
        whitelist(account, reload),
        server(account, reload),
        templates(account, state.library, reload),
        section("notices", noticesPanel(account)),
        quotas(account),
        pushes(account),
        log(lines),
      ),
    );
  }
  guarded(load)();
}
