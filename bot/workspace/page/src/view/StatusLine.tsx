/** "Countersign is thinking…", with Stop where it can be stopped. */

import { CircleStop } from "lucide-react";
import { useEffect, useState } from "react";

import type { ThreadStatus } from "../model/protocol";
import { useWorkspaceContext } from "./context";

const NEXT_MESSAGE_MS = 2_500;

export function StatusLine({ channel, thread }: { channel: string; thread: string }) {
  const { page, send } = useWorkspaceContext();
  const status = page.statuses.find((one) => one.channel === channel && one.thread_ts === thread);
  const shown = status && (status.status !== "" || status.stoppable);
  return (
    <div className="status-line" role="status" data-testid="thread-status">
      {shown && <StatusText status={status} />}
      {shown && status.stoppable && (
        <button
          type="button"
          className="button stop"
          data-testid="stop"
          onClick={() => void send.stop(channel, thread)}
        >
          <CircleStop size={14} aria-hidden /> Stop
        </button>
      )}
    </div>
  );
}

export function StatusText({ status }: { status: ThreadStatus }) {
  const { bot } = useWorkspaceContext();
  const [turn, setTurn] = useState(0);
  const loading = status.loading_messages;
  useEffect(() => {
    if (loading.length < 2) return;
    const timer = setInterval(() => setTurn((now) => now + 1), NEXT_MESSAGE_MS);
    return () => clearInterval(timer);
  }, [loading.length]);
  const doing =
    loading.length > 0 ? loading[turn % loading.length] : `${bot.real_name} ${status.status || "is at work…"}`;
  return (
    <span className="status-text">
      <span className="dots" aria-hidden>
        <i />
        <i />
        <i />
      </span>
      {doing}
    </span>
  );
}
