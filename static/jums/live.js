// Keeps a part of the page fresh. <div data-live-url="…" data-live-every="2"> is filled
// anew from that address every so many seconds, while somebody can see the page. The
// answer is the new inside of the element; it ends the refreshing when it carries the
// header X-Live: stop, or reloads the page with X-Live: reload. With data-live-now the
// first turn comes at once, for what takes too long to be in the page itself.
(function () {
  "use strict";

  const LONGEST_MS = 60000;
  // An answer that never comes must not end the refreshing.
  const PATIENCE_MS = 15000;

  function keep(element) {
    if (element.dataset.liveKept) {
      return;
    }
    element.dataset.liveKept = "yes";
    const everyMs = Math.max(1, Number(element.dataset.liveEvery) || 2) * 1000;
    let waitMs = everyMs;
    let timer = 0;
    let busy = false;
    let stopped = false;

    function plan() {
      clearTimeout(timer);
      timer = setTimeout(turn, waitMs);
    }

    async function turn() {
      if (document.hidden || busy || stopped || !element.isConnected) {
        return; // visibilitychange plans the next turn
      }
      busy = true;
      let word = "";
      const patience = new AbortController();
      const enough = setTimeout(() => patience.abort(), PATIENCE_MS);
      try {
        const answer = await fetch(element.dataset.liveUrl, {
          headers: { "X-Requested-With": "live" },
          credentials: "same-origin",
          signal: patience.signal,
        });
        // A login page is not news: after the session ended, leave what is there.
        if (answer.redirected || answer.status === 403) {
          word = "stop";
        } else if (answer.ok) {
          word = answer.headers.get("X-Live") || "";
          const text = await answer.text();
          const open = Array.from(element.querySelectorAll("details[open][id]"));
          element.innerHTML = text;
          for (const one of open) {
            document.getElementById(one.id)?.setAttribute("open", "");
          }
          keepAll(element);
          waitMs = everyMs;
        } else {
          waitMs = Math.min(waitMs * 2, LONGEST_MS);
        }
      } catch (error) {
        waitMs = Math.min(waitMs * 2, LONGEST_MS);
      }
      clearTimeout(enough);
      busy = false;
      if (word === "reload") {
        window.location.reload();
      } else if (word === "stop") {
        stopped = true;
      } else {
        plan();
      }
    }

    document.addEventListener("visibilitychange", function () {
      if (!document.hidden) {
        turn();
      }
    });
    if (element.dataset.liveNow !== undefined) {
      turn();
    } else {
      plan();
    }
  }

  function keepAll(root) {
    for (const element of root.querySelectorAll("[data-live-url]")) {
      keep(element);
    }
  }

  // [data-more] in a live part: what it leads to takes the place of its row. Without
  // this the link would open a fragment as a page.
  document.addEventListener("click", async function (event) {
    const link = event.target.closest("[data-live-url] a[data-more]");
    if (!link) {
      return;
    }
    event.preventDefault();
    const answer = await fetch(link.href, {
      headers: { "X-Requested-With": "live" },
      credentials: "same-origin",
    });
    if (answer.ok && !answer.redirected) {
      link.parentElement.outerHTML = await answer.text();
    }
  });

  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", () => keepAll(document));
  } else {
    keepAll(document);
  }
})();
