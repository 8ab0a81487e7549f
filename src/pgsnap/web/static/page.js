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
    }
  });

  begin();
})();
