/* SPDX-License-Identifier: MIT
 *
 * Every handler, for the table of routes.c; each is named after its call.
 */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

struct request;

#define HANDLER(name) void name(struct request *request)
/* auth.c */
HANDLER(auth_register);
HANDLER(auth_challenge);
HANDLER(auth_login);
HANDLER(auth_refresh);
HANDLER(auth_logout);
/* account.c */
HANDLER(account_get);
HANDLER(account_change);
HANDLER(account_remove);
HANDLER(account_password);
HANDLER(consent_list);
HANDLER(consent_accept);
HANDLER(consent_forget);
HANDLER(block_put);
HANDLER(block_end);
/* devices.c */
HANDLER(devices_list);
HANDLER(device_name);
HANDLER(device_delete);
HANDLER(device_link_token);
HANDLER(device_link);
/* keys.c */
HANDLER(keys_upload);
HANDLER(keys_count);
HANDLER(keys_devices);
HANDLER(keys_claim);
HANDLER(keys_bundle);
/* messages.c */
HANDLER(message_send);
HANDLER(message_status);
HANDLER(mailbox_list);
HANDLER(mailbox_acknowledge);
/* wellknown.c */
HANDLER(wellknown_document);
HANDLER(health);
HANDLER(readiness);
HANDLER(metrics_text);
/* inbound.c */
HANDLER(inbound_transaction);
HANDLER(inbound_claim);
HANDLER(inbound_device_list);
#undef HANDLER

#endif
