// Who is signed in: a token from the link's fragment, kept for this tab only. The server decides what it is worth.

const KEY = "relaydesk.token";

// `#token=…` of a sign-in link; the address is cleaned at once, so that the token is in no history and no bookmark.
export function signInFromAddress() {
  const token = tokenIn(location.hash);
  if (token) {
    sessionStorage.setItem(KEY, token);
    history.replaceState(null, "", location.pathname + location.search);
  }
}

export function token() {
  return sessionStorage.getItem(KEY);
}

// A pasted link or a bare token. -> whether it can be one.
export function signIn(text) {
  const found = tokenIn(text) ?? text.trim();
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(found)) return false;
  sessionStorage.setItem(KEY, found);
  return true;
}

export function signOut() {
  sessionStorage.removeItem(KEY);
}

function tokenIn(text) {
  const fragment = text.slice(text.indexOf("#") + 1);
  return text.includes("#") ? new URLSearchParams(fragment).get("token") : null;
}
