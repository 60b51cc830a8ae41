// Texts in a conversation: bubbles of both sides, and a line to write in.
import { call, guarded, h, text, toast } from "./dom.js";

const drafts = new Map(); // openid -> what is being written, kept over redraws

/** A text as a bubble; ours is on the left, the person's on the right. */
export const bubble = (said) => h(`p.bubble${said.by_person ? ".mine" : ""}`, said.text);

/** Cards and texts of a conversation by time. */
export const byTime = (messages, said) =>
  [...messages, ...said].sort((one, other) => one.at - other.at);

/** The line someone writes to the account in; `after` runs once it is sent. */
export function writing(appid, phone, after) {
  const words = h("input", {
    value: drafts.get(phone.openid) ?? "",
    placeholder: text("say"),
    ariaLabel: text("say"),
    maxLength: 600,
    oninput: () => drafts.set(phone.openid, words.value),
  });
  const say = guarded(async () => {
    const content = words.value.trim();
    if (!content) return;
    drafts.delete(phone.openid);
    words.value = "";
    const told = await call("POST", "texts", { appid, openid: phone.openid, content });
    if (told.problem) toast(told.problem, true);
    await after();
  });
  return h("form.writing", { onsubmit: say }, words, h("button", text("say_send")));
}
