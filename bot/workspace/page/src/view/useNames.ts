/** Builds the directory anew only when somebody's or something's name has changed. */

import { useMemo } from "react";

import type { Channel, PageState, User } from "../model/protocol";
import type { Directory } from "./context";

const NOBODY: PageState["users"] = [];

export function useNames(
  page: PageState | null,
  go: Directory["go"],
  send: Directory["send"],
  theme: Directory["theme"],
) {
  // Channels change with every message (`latest`): names and members are what matters here.
  const names = JSON.stringify([
    page?.user,
    page?.bot_user_id,
    page?.users,
    page?.user_groups,
    page?.shortcuts,
    page?.channels.map((channel) => ({ ...channel, latest: null })),
  ]);
  return useMemo((): Directory | null => {
    const [me, botId, users = NOBODY, groups, shortcuts, channels] = JSON.parse(names) as [
      string | null,
      string,
      Directory["users"] | null,
      Directory["groups"],
      Directory["shortcuts"],
      Directory["channels"],
    ];
    if (!me || !users) return null;
    const people = new Map(users.map((user) => [user.id, user]));
    const places = new Map(channels.map((channel) => [channel.id, channel]));
    const unknown = (id: string, is_bot: boolean): User => ({ id, name: id, real_name: id, title: "", is_bot });
    const bot = people.get(botId) ?? unknown(botId, true);
    return {
      me: people.get(me) ?? unknown(me, false),
      bot,
      users,
      groups,
      channels,
      shortcuts,
      theme,
      person: (id) => people.get(id),
      channel: (id) => places.get(id),
      channelTitle: (channel: Channel) => (channel.is_im ? bot.real_name : `#${channel.name}`),
      go,
      send,
    };
  }, [names, go, send, theme]);
}
