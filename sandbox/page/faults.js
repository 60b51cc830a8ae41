// Faults on demand, and the switches of the whole sandbox.
import { choice, field } from "./console.js";
import { call, guarded, h, text, toast } from "./dom.js";

const PATHS = [
  "/cgi-bin/message/template/send",
  "/cgi-bin/message/subscribe/bizsend",
  "/cgi-bin/stable_token",
  "/cgi-bin/token",
  "/cgi-bin/template/get_all_private_template",
  "/cgi-bin/user/get",
];
const numeric = (value, step = "any") =>
  h("input", { type: "number", value: String(value), step, min: "0", required: true });

function describe(fault) {
  const extent =
    fault.calls !== null
      ? text("left_calls", { n: fault.calls })
      : fault.share < 1
        ? `${Math.round(fault.share * 100)} %`
        : text("until_off");
  const code = fault.kind === "errcode" ? ` ${fault.errcode}` : "";
  const path = fault.path === "*" ? text("any_call") : fault.path;
  return { title: text(`k_${fault.kind}`) + code, path, extent };
}

function active(list, reload) {
  if (!list.length) return h("p.calm", text("none_active"));
  const off = (fault) =>
    guarded(async () => {
      await call("DELETE", `faults/${fault.id}`);
      reload();
    });
  return [
    list.map((fault) => {
      const { title, path, extent } = describe(fault);
      return h(
        "div.fault",
        h("span", h("b", title), h("code", path)),
        h("span", h("i", extent), h("small", text("hits", { n: fault.hits }))),
        h("button.quiet", { type: "button", onclick: off(fault) }, text("switch_off")),
      );
    }),
    h(
      "button.quiet",
      {
        type: "button",
        onclick: guarded(async () => {
          await call("DELETE", "faults");
          reload();
        }),
      },
      text("all_off"),
    ),
  ];
}

function adding(kinds, reload) {
  const kind = choice(
    Object.keys(kinds).map((name) => [name, text(`k_${name}`)]),
    "busy",
  );
  const path = choice([...PATHS.map((p) => [p, p]), ["*", text("any_call")]], PATHS[0]);
  const extent = choice(
    ["next_calls", "share", "until_off"].map((name) => [name, text(name)]),
    "next_calls",
  );
  const count = numeric(10, "1");
  const percent = numeric(10, "1");
  const code = h("input", { type: "number", value: "45009", step: "1" });
  const delay = numeric(5);
  const fields = {
    count: field(text("count"), count),
    percent: field(text("percent"), percent),
    code: field(text("errcode"), code),
    delay: field(text("delay"), delay),
  };
  const fit = () => {
    fields.count.hidden = extent.value !== "next_calls";
    fields.percent.hidden = extent.value !== "share";
    fields.code.hidden = kind.value !== "errcode";
    fields.delay.hidden = kind.value !== "slow";
  };
  kind.onchange = extent.onchange = fit;
  fit();
  const add = guarded(async () => {
    const fault = { kind: kind.value, path: path.value };
    if (extent.value === "next_calls") fault.calls = Number(count.value);
    if (extent.value === "share") fault.share = Number(percent.value) / 100;
    if (kind.value === "errcode") fault.errcode = Number(code.value);
    if (kind.value === "slow") fault.delay_s = Number(delay.value);
    await call("POST", "faults", fault);
    reload();
  });
  return h(
    "form",
    { onsubmit: add },
    field(text("what"), kind),
    field(text("which"), path),
    h("div.two", field(text("how_long"), extent), fields.count, fields.percent),
    h("div.two", fields.code, fields.delay),
    h("button.go", text("switch_on")),
  );
}

function receipts(settings) {
  const [low, high] = settings.receipt_delay_s.map((value) => numeric(value));
  const weights = ["success", "user_block", "system_failed"].map((name) => [
    name,
    numeric(settings.receipt_outcomes[name] ?? 0),
  ]);
  const duplicates = numeric(settings.receipt_duplicates);
  const patience = numeric(settings.push_patience_s);
  const box = (checked) => h("input", { type: "checkbox", checked });
  const shuffle = box(settings.receipt_shuffle);
  const before = box(settings.receipt_before_reply);
  const held = box(!settings.receipts);
  const save = guarded(async () => {
    await call("PATCH", "settings", {
      receipt_delay_s: [Number(low.value), Number(high.value)],
      receipt_outcomes: Object.fromEntries(weights.map(([n, i]) => [n, Number(i.value)])),
      receipt_duplicates: Number(duplicates.value),
      receipt_shuffle: shuffle.checked,
      receipt_before_reply: before.checked,
      receipts: !held.checked,
      push_patience_s: Number(patience.value),
    });
    toast(text("saved"));
  });
  return h(
    "form",
    { onsubmit: save },
    field(text("s_delay"), h("span.pair", low, high)),
    h("div.three", weights.map(([name, input]) => field(text(`o_${name}`), input))),
    h("div.two", field(text("s_duplicates"), duplicates), field(text("s_patience"), patience)),
    h(
      "div.checks",
      h("label", shuffle, text("s_shuffle")),
      h("label", before, text("s_before")),
      h("label", held, text("s_held")),
    ),
    h("button.go", text("apply")),
  );
}

function network(settings) {
  const [low, high] = settings.reply_delay_ms.map((value) => numeric(value));
  const ip = h("input", { value: settings.caller_ip, placeholder: "203.0.113.9" });
  const life = numeric(settings.token_life_s);
  const save = guarded(async () => {
    await call("PATCH", "settings", {
      reply_delay_ms: [Number(low.value), Number(high.value)],
      caller_ip: ip.value.trim(),
      token_life_s: Number(life.value),
    });
    toast(text("saved"));
  });
  return h(
    "form",
    { onsubmit: save },
    field(text("s_reply"), h("span.pair", low, high)),
    field(text("s_ip"), ip, text("s_ip_help")),
    field(text("s_life"), life),
    h("button.go", text("apply")),
  );
}

export function faults(main) {
  const list = h("div.active");
  let timer;
  async function refresh() {
    list.replaceChildren(...[active(await call("GET", "faults"), guarded(refresh))].flat(Infinity));
  }
  const reset = guarded(async () => {
    if (!confirm(text("reset_sure"))) return;
    await call("POST", "reset", {});
    location.hash = "phones";
  });
  guarded(async () => {
    const state = await call("GET", "state");
    main.replaceChildren(
      h(
        "section.panel",
        h("h2", text("faults")),
        h("p.help", text("faults_help")),
        adding(state.fault_kinds, guarded(refresh)),
      ),
      h("section.panel", h("h2", text("active")), list),
      h("section.panel", h("h2", text("receipts")), receipts(state.settings)),
      h(
        "section.panel",
        h("h2", text("network")),
        network(state.settings),
        h("button.danger", { type: "button", onclick: reset }, text("reset")),
      ),
    );
    await refresh();
    timer = setInterval(guarded(refresh), 2000);
  })();
  return () => clearInterval(timer);
}
