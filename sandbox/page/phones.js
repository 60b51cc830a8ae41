// The grid of phones, live.
import { bubble, byTime, writing } from "./chat.js";
import { accountName, call, clock, guarded, h, language, number, text, toast } from "./dom.js";
import { articleScreen, settingsScreen } from "./notices.js";
import { webScreen } from "./web.js";

const USUAL = [1, 2, 3, 4, 5, 6, 7, 8];
const POLL_MS = 800;

export function avatar(person) {
  const looks = `avatar.bg${person.background}.skin${person.skin}.hair${person.hair}.tint${person.hair_colour}.shirt${person.shirt}`;
  const parts = ["back", "torso", "neck", "head", "front", "eyes", "mouth", "extra"];
  return h(`span.${looks}`, { ariaHidden: "true" }, parts.map((part) => h(`i.${part}`)));
}

const nameOf = (person) => (language === "zh" ? person.name_zh : person.name_en);

function card(message, visit) {
  const link = message.miniprogram || message.url;
  const value = message.miniprogram
    ? `${message.miniprogram} ${message.pagepath}`
    : message.url;
  return h(
    "article.card",
    h("h3", message.title || message.template_id),
    h(
      "dl",
      message.rows.map(([label, shown]) => h("div", h("dt", label), h("dd", shown))),
    ),
    link
      ? h(
          "footer",
          { title: value },
          h(
            message.miniprogram ? "span" : "button.linked",
            message.miniprogram ? null : { type: "button", onclick: () => visit(message.url) },
            message.miniprogram ? text("miniprogram") : text("details"),
          ),
          h("i.chevron"),
        )
      : null,
  );
}

function chatList(account, all, open) {
  const messages = all.filter((message) => !message.outside);
  const outside = all.filter((message) => message.outside);
  const last = messages.at(-1);
  const views = { ours: "chat", service: "service" };
  const row = (kind, name, preview, at, badge) =>
    h(
      `button.chat.${kind}`,
      { type: "button", onclick: () => views[kind] && open(views[kind]) },
      h("i.face"),
      h("span.name", name),
      h("time", at),
      h("span.preview", preview),
      badge ? h("b.badge", String(badge)) : null,
    );
  return h(
    "div.chats",
    row(
      "ours",
      account,
      last ? last.title : text("no_messages"),
      last ? clock(last.at) : "",
      messages.length,
    ),
    outside.length
      ? row(
          "service",
          text("service_chat"),
          outside.at(-1).title,
          clock(outside.at(-1).at),
          outside.length,
        )
      : null,
    row("family", text("family"), text("family_preview"), "18:20"),
    row("files", text("files"), text("files_preview"), text("yesterday")),
  );
}

function conversation(items, visit) {
  let stamped = "";
  return h(
    "div.conversation",
    items.map((item) => {
      const at = clock(item.at);
      const stamp = at === stamped ? null : h("time", at);
      stamped = at;
      return [stamp, item.rows ? card(item, visit) : bubble(item)];
    }),
  );
}

export function phones(main, appid) {
  const shown = new Map(); // openid -> {element, drawn}
  let openids = [];
  let usual = [];
  let stopped = false;
  let timer;

  const strip = h("section.strip");
  const grid = h("section.grid");
  const hits = h("div.hits");
  const search = h("input", {
    type: "search",
    placeholder: text("find"),
    ariaLabel: text("find"),
    oninput: guarded(find),
  });
  const home = h(
    "button.quiet",
    { type: "button", onclick: () => choose(usual) },
    text("known"),
  );
  main.replaceChildren(strip, h("section.search", search, home, hits), grid);

  function choose(list) {
    openids = list;
    for (const [openid, phone] of shown) {
      if (!openids.includes(openid)) {
        phone.element.remove();
        shown.delete(openid);
      }
    }
    poll();
  }

  async function find() {
    const wanted = search.value.trim();
    if (!wanted) return hits.replaceChildren();
    const found = await call(
      "GET",
      `people?appid=${appid}&limit=8&q=${encodeURIComponent(wanted)}`,
    );
    if (wanted !== search.value.trim()) return;
    hits.replaceChildren(
      ...found.map((person) =>
        h(
          "button",
          {
            type: "button",
            onclick: () => {
              search.value = "";
              hits.replaceChildren();
              choose([person.openid, ...openids.filter((o) => o !== person.openid)].slice(0, 24));
            },
          },
          avatar(person),
          h("span", nameOf(person), h("small", text("person", { n: person.n }))),
        ),
      ),
      found.length ? "" : h("p", text("find_none")),
    );
  }

  function state(phone) {
    if (!phone.follows) return h("span.pill.off", text("left"));
    if (phone.blacklisted) return h("span.pill.bad", text("blacklisted"));
    if (phone.blocks) return h("span.pill.warn", text("blocks"));
    return h("span.pill", text("follows"));
  }

  const change = (phone, to) =>
    guarded(async () => {
      await call("PATCH", `people/${phone.openid}`, { appid, ...to });
      await poll();
    });

  function draw(phone, account, known) {
    const last = phone.messages.at(-1);
    const view = known?.view ?? (last ? (last.outside ? "service" : "chat") : "list");
    const redraw = (to, opened = known?.opened) => {
      const made = draw(phone, account, { view: to, opened });
      made.drawn = shown.get(phone.openid)?.drawn;
      shown.get(phone.openid)?.element.replaceWith(made.element);
      shown.set(phone.openid, made);
      settle(made.element);
    };
    const bar = (title, ...more) =>
      h(
        "div.bar",
        h("button.back", {
          type: "button",
          ariaLabel: text("chats"),
          onclick: () => redraw("list"),
        }),
        h("b", title),
        more,
      );
    const to = (name, wanted, look) =>
      h(look, { type: "button", onclick: () => redraw(wanted) }, text(name));
    const back = () => redraw("chat");
    const visit = (url) => redraw("web", url);
    const views = {
      list: () => [
        h("div.bar", h("b", text("chats"))),
        chatList(account, phone.messages, (wanted) => redraw(wanted)),
      ],
      chat: () => [
        bar(
          account,
          h("button.more", {
            type: "button",
            ariaLabel: text("settings"),
            textContent: "···",
            onclick: () => redraw("settings"),
          }),
        ),
        conversation(
          byTime(
            phone.messages.filter((message) => !message.outside),
            phone.said,
          ), visit,
        ),
        writing(appid, phone, poll),
        h(
          "div.menu",
          to("menu_services", "article", "button"),
          to("web", "web", "button"),
          h("span", text("menu_me")),
        ),
      ],
      service: () => [
        bar(text("service_chat")),
        conversation(phone.messages.filter((message) => message.outside), visit),
      ],
      article: () => articleScreen(appid, account, phone, back),
      settings: () => settingsScreen(appid, phone, back),
      web: () => webScreen(phone, known?.opened, back, visit),
    };
    const screen = views[view]();
    const element = h(
      "figure.person",
      { id: phone.openid },
      h(
        "figcaption",
        avatar(phone),
        h(
          "span.who",
          h("b", nameOf(phone)),
          h(
            "button.openid",
            {
              type: "button",
              title: `${text("copy")}: ${phone.openid}`,
              onclick: guarded(async () => {
                await navigator.clipboard.writeText(phone.openid);
                toast(text("copied"));
              }),
            },
            `${text("person", { n: phone.n })} · ${phone.openid.slice(0, 8)}…`,
          ),
        ),
        state(phone),
      ),
      h(
        "div.phone",
        h("div.status", h("span", clock(Date.now() / 1000)), h("i.signal"), h("i.battery")),
        h("div.screen", screen),
      ),
      h(
        "div.actions",
        h(
          "button.quiet",
          { type: "button", onclick: change(phone, { follows: !phone.follows }) },
          text(phone.follows ? "unfollow" : "follow"),
        ),
        h(
          "button.quiet",
          { type: "button", onclick: change(phone, { blocks: !phone.blocks }) },
          text(phone.blocks ? "unblock" : "block"),
        ),
        usual.includes(phone.openid)
          ? null
          : h(
              "button.quiet",
              {
                type: "button",
                onclick: () => choose(openids.filter((o) => o !== phone.openid)),
              },
              text("close"),
            ),
      ),
    );
    return { element, view, opened: known?.opened };
  }

  const settle = (element) => {
    const scroller = element.querySelector(".conversation");
    if (scroller) scroller.scrollTop = scroller.scrollHeight;
  };

  function show(answer) {
    const account = accountName(answer.name);
    const counts = [
      ["accepted", answer.accepted],
      ["shown", answer.shown],
      ["receipts_answered", answer.receipts.answered],
      ["receipts_waiting", answer.receipts.waiting],
      ["followers", answer.followers],
    ];
    if (answer.receipts.given_up) counts.push(["receipts_given_up", answer.receipts.given_up]);
    strip.replaceChildren(
      ...counts.map(([name, count]) => h("div", h("b", number(count)), h("span", text(name)))),
    );
    answer.phones.forEach((phone, at) => {
      const last = phone.messages.at(-1)?.seq ?? 0;
      const drawn = `${last}/${phone.messages.length}/${phone.follows}${phone.blocks}${phone.blacklisted}/${phone.said.at(-1)?.at ?? 0}`;
      let known = shown.get(phone.openid);
      const changed = known?.drawn !== drawn;
      if (changed) {
        const isNew = known && phone.messages.length && known.drawn.split("/")[0] !== String(last);
        const made = draw(phone, account, isNew ? null : known);
        made.drawn = drawn;
        if (known) known.element.replaceWith(made.element);
        shown.set(phone.openid, made);
        known = made;
        if (isNew) made.element.classList.add("arrived");
      }
      if (grid.children[at] !== known.element) {
        grid.insertBefore(known.element, grid.children[at] ?? null);
      }
      if (changed) settle(known.element);
    });
  }

  async function poll() {
    const asked = openids;
    const answer = await call("GET", `phones?appid=${appid}&openids=${asked.join(",")}`);
    if (!stopped && asked === openids) show(answer);
  }

  async function again() {
    try {
      if (!document.hidden) await poll();
    } catch (failure) {
      toast(failure.message, true);
    }
    if (!stopped) timer = setTimeout(again, POLL_MS);
  }

  guarded(async () => {
    const people = await call("GET", `people?appid=${appid}&limit=${USUAL.length}`);
    usual = openids = people.map((person) => person.openid);
    await again();
  })();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
