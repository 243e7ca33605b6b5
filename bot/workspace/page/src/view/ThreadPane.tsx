/** The right side: one thread. */

import { X } from "lucide-react";

import type { Channel } from "../model/protocol";
import { threadKey } from "../model/store";
import { Composer } from "./Composer";
import { useWorkspaceContext } from "./context";
import { MessageList } from "./MessageList";
import { Prompts } from "./Prompts";
import { StatusLine } from "./StatusLine";

export function ThreadPane({ channel, thread }: { channel: Channel; thread: string }) {
  const { page, store, go, channelTitle } = useWorkspaceContext();
  const messages = store.replies[threadKey(channel.id, thread)];
  const status = page.statuses.find((one) => one.channel === channel.id && one.thread_ts === thread);
  const close = () => {
    go({ thread: null });
    document.querySelector<HTMLElement>("main.channel textarea")?.focus({ preventScroll: true });
  };
  return (
    <aside className="thread" aria-label="Thread" data-testid="thread-pane">
      <header className="pane-header">
        <h2>Thread</h2>
        <span className="topic">{status?.title || channelTitle(channel)}</span>
        <button
          type="button"
          className="icon-button close"
          aria-label="Close thread"
          data-testid="close-thread"
          onClick={close}
        >
          <X size={20} aria-hidden />
        </button>
      </header>
      {messages ? (
        <MessageList key={thread} messages={messages} inThread />
      ) : (
        <div className="loading" role="status">
          Loading…
        </div>
      )}
      <StatusLine channel={channel.id} thread={thread} />
      <Prompts channel={channel.id} thread={thread} />
      <Composer
        key={`${page.user}/${thread}`}
        channel={channel.id}
        thread={thread}
        placeholder="Reply…"
        testId="thread-composer"
        alsoTo={channel.is_im ? undefined : channelTitle(channel)}
      />
    </aside>
  );
}
