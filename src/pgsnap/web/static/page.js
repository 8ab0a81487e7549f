// The page's own script. The session's value lies in this tab's sessionStorage and goes with each
// request as a header: there is no cookie that another site's request could carry.
"use strict";

(() => {
  const KEY = "snap-session";
  let session = null;

  const say = (text) => {
    const place = document.getElementById("waiting");
    if (place) place.textContent = text;
  };

  const over = () => {
    sessionStorage.removeItem(KEY);
    document.body.innerHTML = "<main class='waiting'><h1>This session is over</h1>" +
      "<p id='waiting' role='status'></p></main>";
    say("Its server was ended, or this tab was opened without one. Run snap ui again.");
  };

  // The token stands behind the "#" of the address, which browsers never send.
  const begin = async () => {
    const token = location.hash.startsWith("#token=") ? location.hash.slice(7) : "";
    if (token) {
      history.replaceState(null, "", location.pathname + location.search);
      const answer = await fetch("/session", {method: "POST", headers: {"X-Snap-Token": token}});
      if (answer.ok) sessionStorage.setItem(KEY, (await answer.text()).trim());
    }
    session = sessionStorage.getItem(KEY) || await fromAnotherTab();
    if (!session) return over();
    sessionStorage.setItem(KEY, session);
    lend();
    htmx.ajax("GET", location.pathname + location.search, {target: document.body, swap: "innerHTML"});
  };

  // A page that was opened in a new tab asks the others, which are of the same server.
  const fromAnotherTab = () => new Promise((found) => {
    const channel = new BroadcastChannel(KEY);
    const end = (value) => { channel.close(); found(value); };
    channel.onmessage = (event) => { if (event.data.session) end(event.data.session); };
    channel.postMessage({wanted: true});
    setTimeout(() => end(null), 500);
  });

  const lend = () => {
    const channel = new BroadcastChannel(KEY);
    channel.onmessage = (event) => { if (event.data.wanted) channel.postMessage({session}); };
  };

  // A job's events, read as they come: an EventSource could not send the session.
  const watch = async (place) => {
    while (place.isConnected) {
      try {
        const answer = await fetch(place.dataset.events, {headers: {"X-Snap-Session": session}});
        if (answer.status === 403) return over();
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        for (;;) {
          const {done, value} = await reader.read();
          if (done || !place.isConnected) { reader.cancel(); break; }
          text += value;
          for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
            if (show(place, text.slice(0, end)) === "end") return;
          }
        }
      } catch (error) {
        document.body.dataset.gone = "yes";
      }
      await new Promise((go) => setTimeout(go, 1000));
    }
  };

  const show = (place, event) => {
    const lines = event.split("\n");
    const name = (lines.find((line) => line.startsWith("event: ")) || "").slice(7);
    const data = lines.filter((line) => line.startsWith("data: "))
      .map((line) => line.slice(6)).join("\n");
    if (name === "job") {
      // The first event has what the page was made with: what is typed already stays.
      const fresh = document.createElement("template");
      fresh.innerHTML = data;
      if (fresh.innerHTML.trim() !== place.innerHTML.trim()) {
        place.innerHTML = data;
        htmx.process(place);
      }
      const answer = place.querySelector("#answer");
      if (answer && answer.tagName === "INPUT") answer.focus();
    } else if (name === "progress") {
      place.querySelector(".progress").innerHTML = data;
    }
    return name;
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const search = document.querySelector(".search input");
    if (search) { event.preventDefault(); search.focus(); }
  });

  document.addEventListener("htmx:configRequest", (event) => {
    event.detail.headers["X-Snap-Session"] = session;
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status === 403) { event.detail.shouldSwap = false; over(); }
  });
  document.addEventListener("htmx:sendError", () => {
    document.body.dataset.gone = "yes";
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target === document.body) {
      const heading = document.querySelector("main h1");
      if (heading) { heading.tabIndex = -1; heading.focus({preventScroll: true}); }
      const events = document.querySelector("[data-events]");
      if (events) watch(events);
    }
  });

  begin();
})();
