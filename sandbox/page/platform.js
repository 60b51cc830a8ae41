// The third-party platform: its settings, its accounts' administrators, its tests.
import { choice, copyable, field, line, table } from "./console.js";
import { accountName, call, clockSeconds, guarded, h, text, toast } from "./dom.js";
import { kindName, setBoxes, ticked } from "./permissions.js";

const POLL_MS = 2000;
const ORDERS = ["random", "event_first", "redirect_first", "event_only", "redirect_only"];
const input = (value, more = {}) => h("input", { value, spellcheck: false, ...more });
const lines = (box) => box.value.split(/\s+/).filter(Boolean);
const area = (value) => h("textarea", { rows: 3, spellcheck: false, value: value.join("\n") });
const box = (checked) => h("input", { type: "checkbox", checked });
const seconds = (value) => input(String(value), { type: "number", step: "any", min: "0" });

const section = (name, ...content) =>
  h("section.panel", { id: `s-${name}` }, h("h2", text(name)), content);

function settings(platform) {
  const event = input(platform.event_url, { type: "url" });
  event.placeholder = "http://127.0.0.1:8000/wechattpp/event";
  const message = input(platform.message_url);
  message.placeholder = "http://127.0.0.1:8000/wechattpp/$APPID$/message";
  const domain = input(platform.login_domain);
  const token = input(platform.token, { required: true });
  const key = input(platform.encoding_aes_key, { required: true });
  const whitelist = area(platform.ip_whitelist ?? []);
  const testing = area(platform.test_list);
  const released = box(platform.released);
  const save = guarded(async () => {
    await call("PATCH", "platform", {
      event_url: event.value.trim(),
      message_url: message.value.trim(),
      login_domain: domain.value.trim(),
      token: token.value.trim(),
      encoding_aes_key: key.value.trim(),
      ip_whitelist: lines(whitelist).length ? lines(whitelist) : null,
      released: released.checked,
      test_list: lines(testing),
    });
    toast(text("saved"));
  });
  return section(
    "p_settings",
    h("p.help", text("p_settings_help")),
    line("appid", copyable(platform.appid)),
    line("secret", copyable(platform.secret, true)),
    h(
      "form",
      { onsubmit: save },
      field(text("p_event_url"), event),
      field(text("p_message_url"), message),
      h("div.two", field(text("token"), token), field(text("aes_key"), key)),
      field(text("p_login_domain"), domain, text("p_login_domain_help")),
      h(
        "div.two",
        field(text("p_whitelist"), whitelist, text("p_whitelist_help")),
        field(text("p_test_list"), testing),
      ),
      h("div.checks", h("label", released, text("p_released"))),
      h("button.go", text("save")),
    ),
  );
}

function tickets(switches, reload) {
  const on = box(switches.tickets);
  const interval = seconds(switches.ticket_interval_s);
  const save = guarded(async () => {
    const to = { tickets: on.checked, ticket_interval_s: Number(interval.value) };
    await call("PATCH", "settings", to);
    toast(text("saved"));
  });
  const push = guarded(async () => {
    const { answer } = await call("POST", "tickets");
    toast(text("p_ticket_answer", { answer }), answer !== "success");
    reload();
  });
  return section(
    "p_tickets",
    h("p.help", { id: "tickets-so-far" }),
    h(
      "form",
      { onsubmit: save },
      field(text("p_interval"), interval),
      h("div.checks", h("label", on, text("p_ticket_on"))),
      h(
        "div.row",
        h("button.go", text("apply")),
        h("button.quiet", { type: "button", onclick: push }, text("p_ticket_now")),
      ),
    ),
  );
}

function events(switches) {
  const order = choice(
    ORDERS.map((name) => [name, text(`o_${name}`)]),
    switches.authorised_order,
  );
  const twice = box(switches.authorised_twice);
  const replaced = box(switches.refresh_token_replaced);
  const component = seconds(switches.component_token_life_s);
  const account = seconds(switches.token_life_s);
  const save = guarded(async () => {
    await call("PATCH", "settings", {
      authorised_order: order.value,
      authorised_twice: twice.checked,
      refresh_token_replaced: replaced.checked,
      component_token_life_s: Number(component.value),
      token_life_s: Number(account.value),
    });
    toast(text("saved"));
  });
  return section(
    "p_events",
    h(
      "form",
      { onsubmit: save },
      field(text("p_order"), order),
      h(
        "div.two",
        field(text("p_component_life"), component),
        field(text("p_token_life"), account),
      ),
      h(
        "div.checks",
        h("label", twice, text("p_twice")),
        h("label", replaced, text("p_replaced")),
      ),
      h("button.go", text("apply")),
    ),
  );
}

function administrator(grant, sets, reload) {
  const boxes = setBoxes([...new Set([...sets, ...grant.func_ids])], grant.func_ids);
  const save = guarded(async () => {
    const to = { func_ids: ticked(boxes) };
    const { changed } = await call("PATCH", `authorisations/${grant.appid}`, to);
    toast(text(changed ? "saved" : "p_same"));
    reload();
  });
  const name = accountName(grant.name);
  const takeBack = guarded(async () => {
    if (!confirm(text("p_take_back_sure", { name }))) return;
    await call("DELETE", `authorisations/${grant.appid}`);
    toast(text("p_taken_back"));
    reload();
  });
  return h(
    "form.administrator",
    { onsubmit: save },
    h(
      "header",
      h("img", { src: `/mmopen/${grant.appid}/0`, alt: "", width: 40, height: 40 }),
      h("span", h("b", name), h("small", `${kindName(grant)} · ${grant.appid}`)),
    ),
    boxes,
    h(
      "div.row",
      h("button.quiet", text("p_save_sets")),
      h("button.quiet.bad", { type: "button", onclick: takeBack }, text("p_take_back")),
    ),
  );
}

function release() {
  const outcome = h("div.cases", { role: "status" });
  const button = h("button.go", { type: "button" }, text("p_release_run"));
  const run = guarded(async () => {
    outcome.replaceChildren(h("p.help", text("p_release_running")));
    button.disabled = true;
    try {
      const result = await call("POST", "release_test");
      const told = text(result.passed ? "p_release_passed" : "p_release_failed", {
        name: result.account.appid,
      });
      outcome.replaceChildren(
        h(`p.outcome.${result.passed ? "good" : "bad"}`, told),
        ...result.cases.map((one) =>
          h(
            `div.case.${one.passed ? "good" : "bad"}`,
            h("b", `${one.case}. ${text(`p_case_${one.case}`)}`),
            h("small", one.reason || text("p_seconds", { n: one.seconds })),
          ),
        ),
      );
    } catch (failure) {
      outcome.replaceChildren();
      throw failure;
    } finally {
      button.disabled = false;
    }
  });
  button.addEventListener("click", run);
  return section("p_release", h("p.help", text("p_release_help")), button, outcome);
}

function pushes(platform) {
  const rows = [...platform.pushes].reverse().map((push) => [
    clockSeconds(push.at),
    push.event,
    String(push.attempts),
    h(
      `span.${push.http_status === 200 ? "good" : "bad"}`,
      push.http_status ? `HTTP ${push.http_status} ` : "",
      push.answer.slice(0, 60),
    ),
  ]);
  return table(["at", "event", "attempts", "answer"], rows, text("pushes_none"));
}

export function platform(main) {
  const phones = h("div.administrators");
  const latest = h("div");
  let drawn = "";
  let timer;

  async function refresh() {
    const now = await call("GET", "platform");
    const soFar = document.getElementById("tickets-so-far");
    if (!soFar) return;
    soFar.textContent = now.ticket_issued_at
      ? text("p_tickets_last", { at: clockSeconds(now.ticket_issued_at), n: now.tickets_issued })
      : text("p_tickets_none");
    latest.replaceChildren(pushes(now));
    // Redrawn only when something changed: an administrator may be choosing.
    const grants = JSON.stringify(now.authorisations);
    if (grants === drawn) return;
    drawn = grants;
    phones.replaceChildren(
      ...(now.authorisations.length
        ? now.authorisations.map((g) => administrator(g, now.permission_sets, guarded(refresh)))
        : [h("p.calm", text("p_phone_none"))]),
    );
  }

  guarded(async () => {
    const [now, switches] = await Promise.all([call("GET", "platform"), call("GET", "settings")]);
    main.replaceChildren(
      h(
        "div.column",
        section("p_phone", h("p.help", text("p_phone_help")), phones),
        release(),
        events(switches),
      ),
      h(
        "div.column",
        settings(now),
        tickets(switches, guarded(refresh)),
        section("pushes", latest),
      ),
    );
    await refresh();
    timer = setInterval(guarded(refresh), POLL_MS);
  })();
  return () => clearInterval(timer);
}
