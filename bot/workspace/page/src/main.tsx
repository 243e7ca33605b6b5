/**
 * The page of the local workspace.
 *
 * Stable `data-testid`s for browser tests (`<ts>` is a message's timestamp, `<id>` a user's id):
 *
 * - frame: `sidebar`, `open-sidebar` (narrow windows), `user-switcher`, `user-option-<id>`,
 *   `channel-<name>`, `channel-dm-bot`, `tab-home`, `tab-messages`, `app-home`, `toast`
 * - writing: `composer`, `thread-composer` (Enter sends), `composer-send`, `thread-composer-send`,
 *   `composer-shortcuts`, `suggestions`, `suggestion-<key>` (a user's, group's or channel's id, a
 *   command such as `ops`, an emoji's name), `prompts`
 * - messages: `message-<ts>`, `open-thread-<ts>`, `replies-<ts>` ("3 replies"), `react-<ts>`,
 *   `react-<emoji>-<ts>`, `emoji-<emoji>`, `reaction-<emoji>-<ts>`, `more-<ts>`,
 *   `shortcut-<callback_id>`, `file-<id>`
 * - threads: `thread-pane`, `close-thread`, `thread-status`, `stop`
 * - Block Kit: `action-<action_id>` (buttons, overflow), `action-<action_id>-positive` and
 *   `-negative` (feedback), `select-<action_id>`, `select-query`, `option-<value>` (selects,
 *   overflow, radio buttons, checkboxes), `input-<action_id>`, `block-<block_id>`,
 *   `error-<block_id>`
 * - dialogs: `modal`, `modal-submit`, `modal-close`, `modal-x`, `confirm-dialog`, `confirm-yes`,
 *   `confirm-deny`
 *
 * The address says where one is: `/#/<user>/<channel>`, `/#/<user>/<channel>/<thread ts>`,
 * `/#/<user>/dm` and `/#/<user>/dm/home` for the bot.
 */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./view/App";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
