/** One message: who, when, what, and what hangs below it. */

import { EyeOff } from "lucide-react";
import { memo, useMemo } from "react";

import { Blocks } from "../blocks/Blocks";
import { SurfaceProvider } from "../controls/SurfaceProvider";
import { clock, fullTime } from "../model/format";
import { richText } from "../model/mrkdwn";
import type { Message } from "../model/protocol";
import { isReply } from "../model/store";
import { Attachments } from "./Attachments";
import { Avatar } from "./Avatar";
import { useDirectory } from "./context";
import { MessageActions } from "./MessageActions";
import { Reactions } from "./Reactions";
import { ReplyBar } from "./ReplyBar";
import { useGrowing } from "./useGrowing";

interface Props {
  message: Message;
  inThread: boolean;
  /** Follows a message of the same author: without name and picture. */
  compact: boolean;
}

export const MessageRow = memo(function MessageRow({ message, inThread, compact }: Props) {
  const { person, bot, go } = useDirectory();
  const author = person(message.user);
  const isBot = author?.is_bot ?? message.bot_id !== null;
  const name = message.username ?? author?.real_name ?? message.user;
  const shown = author ?? { ...bot, id: message.user, real_name: name, is_bot: false };
  const where = useMemo(() => ({ channel: message.channel, message_ts: message.ts }), [message.channel, message.ts]);
  const time = <Time ts={message.ts} />;

  return (
    <article
      className={`message ${compact ? "compact" : ""} ${message.ephemeral ? "ephemeral" : ""}`}
      data-testid={`message-${message.ts}`}
      aria-label={`${name}, ${clock(message.ts)}`}
      tabIndex={-1}
    >
      {message.ephemeral && !compact && (
        <div className="only-you">
          <EyeOff size={13} aria-hidden /> Only visible to you
        </div>
      )}
      {message.broadcast && !inThread && isReply(message) && (
        <button
          type="button"
          className="broadcast-from link"
          onClick={() => go({ channel: message.channel, thread: message.thread_ts })}
        >
          replied to a thread
        </button>
      )}
      <div className="gutter">{compact ? time : <Avatar user={shown} icon={message.icon_emoji} />}</div>
      <div className="message-main">
        {!compact && (
          <header>
            <strong className="author">{name}</strong>
            {isBot && <span className="app-badge">APP</span>}
            {time}
          </header>
        )}
        <SurfaceProvider where={where} thread={message.thread_ts} blocks={message.blocks}>
          <Content message={message} />
        </SurfaceProvider>
        <Attachments message={message} />
        {!message.ephemeral && <Reactions message={message} />}
        {!inThread && <ReplyBar message={message} />}
      </div>
      {!message.ephemeral && <MessageActions message={message} inThread={inThread} />}
    </article>
  );
});

function Content({ message }: { message: Message }) {
  const blocks = useMemo(
    () => (message.blocks.length > 0 ? message.blocks : message.text ? [richText(message.text)] : []),
    [message.blocks, message.text],
  );
  const growing = useGrowing(blocks, message.streaming);
  return (
    <div className={`content ${message.streaming ? "streaming" : ""}`} aria-busy={message.streaming}>
      <Blocks blocks={growing} />
      {message.edited_ts && !message.bot_id && <span className="edited">(edited)</span>}
    </div>
  );
}

function Time({ ts }: { ts: string }) {
  return (
    <time dateTime={new Date(Number(ts) * 1000).toISOString()} title={fullTime(ts)}>
      {clock(ts)}
    </time>
  );
}
