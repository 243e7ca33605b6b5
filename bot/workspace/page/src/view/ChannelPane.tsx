/** The middle: a channel or the direct message with the bot, with its messages and composer. */

import { Hash, Menu as MenuIcon, Users } from "lucide-react";
import { useEffect } from "react";

import { markRead } from "../model/place";
import type { Channel } from "../model/protocol";
import { Avatar } from "./Avatar";
import { Composer } from "./Composer";
import { useWorkspaceContext } from "./context";
import { HomePane } from "./HomePane";
import { MessageList } from "./MessageList";
import { Prompts } from "./Prompts";

interface Props {
  channel: Channel;
  /** Under a drawer: out of reach for keyboard and screen reader. */
  covered: boolean;
  onMenu: () => void;
}

export function ChannelPane({ channel, covered, onMenu }: Props) {
  const { page, store, place, channelTitle } = useWorkspaceContext();
  const messages = store.messages[channel.id];
  const showsHome = channel.is_im && place.home;

  useEffect(() => {
    if (channel.latest && !showsHome) markRead(page.user, channel.id, channel.latest);
  }, [page.user, channel.id, channel.latest, showsHome]);

  return (
    <main className="channel" inert={covered} aria-label={channelTitle(channel)}>
      <header className="pane-header">
        <button
          type="button"
          className="icon-button menu-button"
          aria-label="Show channels"
          data-testid="open-sidebar"
          onClick={onMenu}
        >
          <MenuIcon size={20} aria-hidden />
        </button>
        <Title channel={channel} />
      </header>
      {channel.is_im && <Tabs channel={channel} />}
      {!page.bot_connected && (
        <div className="banner" role="status">
          The bot is not connected: it will not see what you write.
        </div>
      )}
      {showsHome ? (
        <HomePane />
      ) : (
        <>
          {messages ? (
            <MessageList key={channel.id} messages={messages} inThread={false}>
              <Greeting channel={channel} />
            </MessageList>
          ) : (
            <div className="loading" role="status">
              Loading…
            </div>
          )}
          <Prompts channel={channel.id} thread={null} />
          <Composer
            key={`${page.user}/${channel.id}`}
            channel={channel.id}
            thread={null}
            placeholder={`Message ${channelTitle(channel)}`}
            testId="composer"
          />
        </>
      )}
    </main>
  );
}

function Title({ channel }: { channel: Channel }) {
  const { bot, person } = useWorkspaceContext();
  if (channel.is_im) {
    return (
      <>
        <Avatar user={bot} size="small" />
        <h2>{bot.real_name}</h2>
        <span className="app-badge">APP</span>
      </>
    );
  }
  const names = channel.members.map((id) => person(id)?.real_name ?? id).join(", ");
  return (
    <>
      <h2>
        <Hash size={18} aria-hidden />
        {channel.name}
      </h2>
      <span className="topic" title={channel.topic}>
        {channel.topic}
      </span>
      <span className="members" title={names}>
        <Users size={15} aria-hidden /> {channel.members.length}
      </span>
    </>
  );
}

function Tabs({ channel }: { channel: Channel }) {
  const { place, go } = useWorkspaceContext();
  const tab = (label: string, home: boolean, testId: string) => (
    <button
      type="button"
      role="tab"
      aria-selected={place.home === home}
      data-testid={testId}
      onClick={() => go({ channel: channel.id, home, thread: null })}
    >
      {label}
    </button>
  );
  return (
    <div className="tabs" role="tablist">
      {tab("Home", true, "tab-home")}
      {tab("Messages", false, "tab-messages")}
    </div>
  );
}

function Greeting({ channel }: { channel: Channel }) {
  const { bot, channelTitle } = useWorkspaceContext();
  return (
    <div className="greeting">
      <h3>
        {channel.is_im ? <Avatar user={bot} size="large" /> : <Hash size={28} aria-hidden />}
        {channelTitle(channel).replace(/^#/, "")}
      </h3>
      <p>
        {channel.is_im
          ? `This is the beginning of your direct messages with ${bot.real_name}.`
          : `This is the very beginning of ${channelTitle(channel)}.${channel.topic ? ` ${channel.topic}` : ""}`}
      </p>
    </div>
  );
}
