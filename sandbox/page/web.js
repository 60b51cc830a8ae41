// A web page on a phone, opened as that person.
import { h, text } from "./dom.js";

/** `opened` is kept by the phone, so that a new message does not close the page. */
export function webScreen(phone, opened, back, open) {
  const address = h("input", {
    type: "url",
    required: true,
    value: opened ?? "",
    placeholder: "https://",
    ariaLabel: text("web_address"),
  });
  const query = new URLSearchParams({ person: phone.n, url: opened ?? "" });
  return [
    h(
      "div.bar",
      h("button.back", { type: "button", ariaLabel: text("chats"), onclick: back }),
      h("b", text("web")),
    ),
    h(
      "form.address",
      {
        onsubmit: (event) => {
          event.preventDefault();
          open(address.value.trim());
        },
      },
      address,
      h("button.go", text("web_open")),
    ),
    opened
      ? h("iframe.web", { src: `browser?${query}`, title: opened })
      : h("div.article", h("p.lead", text("web_help"))),
    opened
      ? h("a.tab", { href: `open?${query}`, target: "_blank", rel: "noopener" }, text("web_tab"))
      : null,
  ];
}
