// The sandbox's jweixin: wx.config with its signature check, and wx-open-subscribe.
// Like the real one it is a plain script for pages of other origins. What those pages'
// policies allow it (scripts from here) is all it uses; no inline style, no fetch.
(() => {
  const script = document.currentScript;
  const origin = new URL(script.src).origin;
  const meta = document.querySelector("meta[name=sandbox-person]");
  const address = (meta ? document.baseURI : location.href).split("#")[0];
  const chinese = navigator.language.startsWith("zh");
  const words = chinese
    ? { ask: "申请向你发送以下消息", keep: "总是保持以上选择，不再询问", allow: "允许", refuse: "拒绝" }
    : {
        ask: "would like to send you:",
        keep: "Always keep this choice, don't ask again",
        allow: "Allow",
        refuse: "Refuse",
      };
  let settings;
  let configured;
  let failed;
  let account = "";
  const ready = [];
  const errors = [];
  let calls = 0;

  function ask(what, then) {
    const name = `sandboxWx${(calls += 1)}`;
    const { appId, timestamp, nonceStr, signature } = settings;
    const query = { appId, timestamp, nonceStr, signature, url: address, callback: name, ...what };
    if (meta) query.person = meta.content;
    const call = document.createElement("script");
    const done = (answer) => {
      delete window[name];
      call.remove();
      then(answer);
    };
    window[name] = done;
    call.onerror = () => done({ errCode: 10002, errMsg: "subscribe:fail network" });
    call.src = `${origin}/sandbox/jssdk?${new URLSearchParams(query)}`;
    document.head.append(call);
  }

  function fail(message) {
    failed = { errMsg: message };
    errors.forEach((heard) => heard(failed));
    document.dispatchEvent(new CustomEvent("WeixinOpenTagsError", { detail: failed }));
  }

  window.wx = window.jWeixin = {
    config(given) {
      settings = given;
      if (!Array.isArray(given.jsApiList)) return fail("config:fail,jsApiList is missing");
      ask({ do: "config" }, (answer) => {
        if (answer.errMsg !== "config:ok") return fail(answer.errMsg);
        configured = true;
        account = answer.account;
        if ((given.openTagList || []).includes("wx-open-subscribe")) offer();
        ready.forEach((heard) => heard());
      });
    },
    ready(heard) {
      configured ? heard() : ready.push(heard);
    },
    error(heard) {
      failed ? heard(failed) : errors.push(heard);
    },
    checkJsApi({ success }) {
      success?.({ errMsg: "checkJsApi:ok", checkResult: {} });
    },
  };

  function sheet(rules) {
    const made = new CSSStyleSheet();
    made.replaceSync(rules);
    return made;
  }

  function element(tag, text, ...children) {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    made.append(...children);
    return made;
  }

  const LOOK = `
    :host { position: fixed; inset: 0; z-index: 2147483647; display: flex; align-items: flex-end;
      justify-content: center; background: rgb(0 0 0 / 45%); font: 15px/1.5 system-ui, sans-serif; }
    section { width: min(100%, 480px); max-height: 88vh; overflow-y: auto; box-sizing: border-box;
      padding: 20px 20px 24px; border-radius: 14px 14px 0 0; background: #fff; color: #191919; }
    p { margin: 0 0 10px; font-weight: 600; }
    label { display: flex; gap: 10px; padding: 9px 0; border-top: 1px solid #eee; }
    label small { display: block; color: #888; }
    .keep { color: #888; font-size: 13px; }
    footer { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; padding-top: 10px; }
    button { font: inherit; padding: 9px; border: 0; border-radius: 6px; background: #f2f2f2; }
    .allow { background: #07c160; color: #fff; }`;

  function dialog(offered, then) {
    const host = element("div");
    host.id = "sandbox-wx-dialog";
    const root = host.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet(LOOK)];
    const boxes = offered.ask.map((template) => {
      const box = element("input");
      Object.assign(box, { type: "checkbox", checked: true, value: template.template_id });
      const example = template.example.trim().split("\n")[0];
      const name = element("span", template.title, element("small", example));
      return { box, label: element("label", "", box, name) };
    });
    const keep = Object.assign(element("input"), { type: "checkbox" });
    const kept = element("label", "", keep, words.keep);
    kept.className = "keep";
    const close = (accepted) => {
      host.remove();
      const all = boxes.map(({ box }) => box.value);
      const accept = accepted ? boxes.filter(({ box }) => box.checked) : [];
      const taken = accept.map(({ box }) => box.value);
      then({
        accept: taken.join(","),
        reject: all.filter((id) => !taken.includes(id)).join(","),
        keep: keep.checked ? "1" : "",
      });
    };
    const refuse = element("button", words.refuse);
    const allow = element("button", words.allow);
    allow.className = "allow";
    refuse.onclick = () => close(false);
    allow.onclick = () => close(true);
    const card = element("section", "", element("p", `${account} ${words.ask}`));
    card.setAttribute("role", "dialog");
    card.append(...boxes.map(({ label }) => label), kept, element("footer", "", refuse, allow));
    root.append(card);
    host.onclick = (event) => {
      if (event.composedPath()[0] !== host) return;
      host.remove();
      then({});
    };
    document.body.append(host);
  }

  function press(tag) {
    const template = tag.getAttribute("template") || "";
    const tell = (answer) => {
      if (answer.errCode || !answer.status) {
        return tag.dispatchEvent(new CustomEvent("error", { detail: answer }));
      }
      const details = Object.fromEntries(
        Object.entries(answer.status).map(([id, status]) => [id, JSON.stringify({ status })]),
      );
      const detail = { errMsg: "subscribe:ok", subscribeDetails: JSON.stringify(details) };
      tag.dispatchEvent(new CustomEvent("success", { detail }));
    };
    ask({ do: "look", template }, (offered) => {
      if (offered.errCode || !offered.ask) return tell(offered);
      const answer = (chosen) => ask({ do: "press", template, ...chosen }, tell);
      offered.ask.length ? dialog(offered, answer) : answer({});
    });
  }

  /** The page's own button, in a shadow: its styles and the page's do not meet. */
  function draw(tag) {
    if (tag.shadowRoot) return;
    const parts = [...tag.querySelectorAll("script[type='text/wxtag-template'], template")];
    const style = parts.find((part) => part.getAttribute("slot") === "style");
    const body = parts.find((part) => part !== style);
    const read = (part) => new DOMParser().parseFromString(part?.innerHTML ?? "", "text/html");
    const root = tag.attachShadow({ mode: "open" });
    const written = read(style);
    const rules = [...written.querySelectorAll("style")].map((each) => each.textContent);
    root.adoptedStyleSheets = [sheet(rules.join("\n") || written.body.textContent)];
    root.append(...read(body).body.childNodes);
    root.addEventListener("click", () => press(tag));
    tag.dispatchEvent(new CustomEvent("ready"));
    tag.dispatchEvent(new CustomEvent("launch"));
  }

  function offer() {
    const all = () => document.querySelectorAll("wx-open-subscribe").forEach(draw);
    all();
    new MutationObserver(all).observe(document.documentElement, { childList: true, subtree: true });
  }
})();
