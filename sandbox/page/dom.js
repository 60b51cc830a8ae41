// Small tools: elements, texts, calls.
import { TEXTS } from "./texts.js";
import { NOTICES } from "./texts_notices.js";
import { PLATFORM } from "./texts_platform.js";

const wanted = localStorage.getItem("sandbox-language") || document.documentElement.lang;
export const language = wanted.startsWith("zh") ? "zh" : "en";
document.documentElement.lang = language === "zh" ? "zh-CN" : "en";

export function text(name, values = {}) {
  const found = [NOTICES, PLATFORM, TEXTS].map((texts) => texts[language][name]).find(Boolean) ?? name;
  return found.replace(/\{(\w+)\}/g, (_all, key) => values[key]);
}

/** h("div.card", {onclick}, child, …): an element; strings become text, never HTML. */
export function h(what, ...rest) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const part of rest.flat(Infinity)) {
    if (part === null || part === undefined || part === false) continue;
    if (typeof part === "object" && !(part instanceof Node)) {
      for (const [key, value] of Object.entries(part)) {
        if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
        else if (key in element && key !== "list") element[key] = value;
        else element.setAttribute(key, value);
      }
    } else {
      element.append(part);
    }
  }
  return element;
}

export async function call(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(`/sandbox/api/${path}`, options);
  } catch {
    throw new Error(text("unreachable"));
  }
  const read = await answer.json();
  if (!answer.ok) throw new Error(read.detail);
  return read;
}

let clearing;
export function toast(message, bad = false) {
  const place = document.getElementById("toast");
  place.textContent = message;
  place.className = bad ? "on bad" : "on";
  clearTimeout(clearing);
  clearing = setTimeout(() => (place.className = ""), 3500);
}

/** Run what a button does; a refusal is shown, never swallowed. */
export function guarded(action) {
  return async (event) => {
    event?.preventDefault();
    try {
      await action(event);
    } catch (failure) {
      toast(text("failed", { detail: failure.message }), true);
    }
  };
}

export const clock = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString(language === "zh" ? "zh-CN" : "en-GB", {
    hour: "2-digit",
    minute: "2-digit",
  });

export const clockSeconds = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString(language === "zh" ? "zh-CN" : "en-GB");

export const number = (value) => value.toLocaleString(language === "zh" ? "zh-CN" : "en");

/** The account's name has both languages: 云杉生活 Spruce Living. */
export function accountName(name) {
  const split = name.match(/^([\u3400-\u9fff·]+)\s+([ -~]+)$/);
  return split ? split[language === "zh" ? 1 : 2] : name;
}
