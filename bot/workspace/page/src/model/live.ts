/** The WebSocket that tells the page what happens, opened again whenever it breaks. */

import type { LiveEvent } from "./protocol";

const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5_000;

/**
 * Connects as `user`. `onUp` runs after each (re)connection, when missed events must be fetched.
 * Returns the function that ends it.
 */
export function listen(
  user: string,
  handlers: { onUp: () => void; onDown: () => void; onEvent: (event: LiveEvent) => void },
): () => void {
  let socket: WebSocket | null = null;
  let wait = FIRST_WAIT_MS;
  let timer = 0;
  let ended = false;

  const connect = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${location.host}/page/live?user=${encodeURIComponent(user)}`);
    socket.onmessage = (frame) => {
      const event = JSON.parse(frame.data as string) as LiveEvent;
      if (event.type === "hello") {
        wait = FIRST_WAIT_MS;
        handlers.onUp();
      } else {
        handlers.onEvent(event);
      }
    };
    socket.onclose = () => {
      if (ended) return;
      handlers.onDown();
      timer = window.setTimeout(connect, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    };
  };

  connect();
  return () => {
    ended = true;
    clearTimeout(timer);
    socket?.close();
  };
}
