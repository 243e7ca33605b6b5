/** Messages with day dividers; stays at the bottom while one is there. */

import { Fragment, useLayoutEffect, useRef } from "react";

import { day, dayKey } from "../model/format";
import type { Message } from "../model/protocol";
import { MessageRow } from "./MessageRow";

interface Props {
  messages: Message[];
  inThread: boolean;
  /** Drawn above all, e.g. the channel's greeting. */
  children?: React.ReactNode;
}

const GROUPED_WITHIN_S = 5 * 60;
const NEAR_BOTTOM_PX = 80;

export function MessageList({ messages, inThread, children }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const atBottom = useRef(true);

  useLayoutEffect(() => {
    const box = scroller.current;
    if (!box || !content.current) return;
    const stay = () => {
      if (atBottom.current) box.scrollTop = box.scrollHeight;
    };
    const watch = new ResizeObserver(stay);
    watch.observe(content.current);
    watch.observe(box);
    stay();
    return () => watch.disconnect();
  }, []);

  return (
    <div
      ref={scroller}
      className="message-scroller"
      onScroll={({ currentTarget: box }) => {
        atBottom.current = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_BOTTOM_PX;
      }}
    >
      <div
        ref={content}
        className="message-list"
        role="log"
        aria-label={inThread ? "Thread" : "Messages"}
        aria-live="polite"
        aria-relevant="additions"
      >
        {children}
        {messages.map((message, index) => {
          const before = messages[index - 1];
          const newDay = !inThread && (!before || dayKey(before.ts) !== dayKey(message.ts));
          return (
            <Fragment key={message.ts}>
              {newDay && (
                <div className="day" role="separator">
                  <span>{day(message.ts)}</span>
                </div>
              )}
              <MessageRow
                message={message}
                inThread={inThread}
                compact={!newDay && before !== undefined && continues(before, message)}
              />
              {inThread && index === 0 && messages.length > 1 && <RepliesDivider count={messages.length - 1} />}
            </Fragment>
          );
        })}
      </div>
    </div>
  );
}

function RepliesDivider({ count }: { count: number }) {
  return (
    <div className="replies-divider" role="separator">
      <span>
        {count} {count === 1 ? "reply" : "replies"}
      </span>
    </div>
  );
}

const continues = (before: Message, message: Message) =>
  before.user === message.user &&
  before.username === message.username &&
  before.ephemeral === message.ephemeral &&
  !before.reply_count &&
  !message.broadcast &&
  Number(message.ts) - Number(before.ts) < GROUPED_WITHIN_S;
