/** Where in the workspace a page is looking; kept in the address, so that a reload stays there. */

export interface Place {
  user: string | null;
  channel: string | null;
  /** The open thread's `ts`. */
  thread: string | null;
  /** App Home's tab, for the direct message with the bot. */
  home: boolean;
}

/** In the address, for the direct message with the bot, whose id differs from user to user. */
export const DIRECT = "dm";

/** `#/U01/C02`, `#/U01/C02/1712.000100` (a thread), `#/U01/D03/home`. */
export function readPlace(hash: string): Place {
  const [, user, channel, rest] = hash.split("/");
  return {
    user: user || null,
    channel: channel || null,
    thread: rest && rest !== "home" ? rest : null,
    home: rest === "home",
  };
}

export function writePlace({ user, channel, thread, home }: Place): string {
  return ["#", user, channel, home ? "home" : thread].filter(Boolean).join("/");
}

const READ = "countersign.read";
const LAST_USER = "countersign.user";

/** Up to where a user has read each channel, remembered in this browser. */
export function readMarks(user: string): Record<string, string> {
  return (JSON.parse(localStorage.getItem(READ) ?? "{}") as Record<string, Record<string, string>>)[user] ?? {};
}

export function markRead(user: string, channel: string, ts: string): void {
  const all = JSON.parse(localStorage.getItem(READ) ?? "{}") as Record<string, Record<string, string>>;
  localStorage.setItem(READ, JSON.stringify({ ...all, [user]: { ...all[user], [channel]: ts } }));
}

export const lastUser = () => localStorage.getItem(LAST_USER);
export const rememberUser = (user: string) => localStorage.setItem(LAST_USER, user);
