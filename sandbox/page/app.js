// The frame: tabs, account, language, theme.
import { call, guarded, h, language, text, accountName } from "./dom.js";
import { console_ } from "./console.js";
import { faults } from "./faults.js";
import { phones } from "./phones.js";
import { platform } from "./platform.js";

const TABS = { phones, console: console_, platform, faults };
const main = document.getElementById("main");
const chooser = document.getElementById("account");
const themeButton = document.getElementById("theme");
let leave = () => {};

for (const place of document.querySelectorAll("[data-text]")) {
  place.textContent = text(place.dataset.text);
}
document.title = text("title");

const root = document.documentElement;
root.dataset.theme =
  localStorage.getItem("sandbox-theme") ||
  (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
themeButton.title = themeButton.ariaLabel = text("theme");
themeButton.addEventListener("click", () => {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("sandbox-theme", root.dataset.theme);
});

const languageButton = document.getElementById("language");
languageButton.textContent = text("other_language");
languageButton.addEventListener("click", () => {
  localStorage.setItem("sandbox-language", language === "zh" ? "en" : "zh");
  location.reload();
});

async function open() {
  const [wantedTab, wantedAccount] = location.hash.slice(1).split("/");
  const tab = wantedTab in TABS ? wantedTab : "phones";
  const { accounts } = await call("GET", "state");
  const appid = accounts.some((a) => a.appid === wantedAccount)
    ? wantedAccount
    : accounts[0]?.appid;
  chooser.ariaLabel = text("account");
  chooser.replaceChildren(
    ...accounts.map((a) => h("option", { value: a.appid }, accountName(a.name))),
  );
  chooser.value = appid;
  for (const button of document.querySelectorAll("[data-tab]")) {
    button.setAttribute("aria-selected", String(button.dataset.tab === tab));
    button.onclick = () => (location.hash = `${button.dataset.tab}/${chooser.value}`);
  }
  chooser.onchange = () => (location.hash = `${tab}/${chooser.value}`);
  leave();
  main.className = tab;
  leave = TABS[tab](main, appid) || (() => {});
}

addEventListener("hashchange", guarded(open));
guarded(open)();
