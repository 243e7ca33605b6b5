/** The prompts that the bot suggests, as chips above the composer. */

import { useWorkspaceContext } from "./context";

export function Prompts({ channel, thread }: { channel: string; thread: string | null }) {
  const { page, send } = useWorkspaceContext();
  const found = page.prompts.find((one) => one.channel === channel && one.thread_ts === thread);
  if (!found || found.prompts.length === 0) return null;
  return (
    <div className="prompts" role="group" aria-label={found.title || "Suggested prompts"} data-testid="prompts">
      {found.title && <span className="prompts-title">{found.title}</span>}
      {found.prompts.map(({ title, message }) => (
        <button key={title} type="button" className="prompt" onClick={() => void send.say(channel, message, thread)}>
          {title}
        </button>
      ))}
    </div>
  );
}
