/** "3 replies" under a thread's parent, and what the bot is doing in that thread. */

import { ChevronRight } from "lucide-react";

import { lastReply, plural } from "../model/format";
import type { Message } from "../model/protocol";
import { Avatar } from "./Avatar";
import { useWorkspaceContext } from "./context";
import { StatusText } from "./StatusLine";

const FACES = 5;

export function ReplyBar({ message }: { message: Message }) {
  const { page, person, go } = useWorkspaceContext();
  const status = page.statuses.find((one) => one.channel === message.channel && one.thread_ts === message.ts);
  const busy = status !== undefined && (status.status !== "" || status.stoppable);
  if (message.reply_count === 0 && !busy) return null;
  return (
    <>
      {message.reply_count > 0 && (
        <button
          type="button"
          className="reply-bar"
          data-testid={`replies-${message.ts}`}
          onClick={() => go({ channel: message.channel, thread: message.ts, home: false })}
        >
          {message.reply_users.slice(0, FACES).map((id) => {
            const user = person(id);
            return user && <Avatar key={id} user={user} size="small" />;
          })}
          <span className="reply-count">{plural(message.reply_count, "reply", "replies")}</span>
          {message.latest_reply && <span className="reply-when">Last reply {lastReply(message.latest_reply)}</span>}
          <span className="reply-view" aria-hidden>
            View thread
          </span>
          <ChevronRight size={16} aria-hidden />
        </button>
      )}
      {busy && status.status !== "" && <StatusText status={status} />}
    </>
  );
}
