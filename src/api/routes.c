/* SPDX-License-Identifier: MIT
 *
 * Every path that a node answers, and who may ask.
 */
#include "handlers.h"
#include "node.h"

#include "restante/clock.h"
#include "restante/token.h"

#define API	   "/api/v1/"
#define FEDERATION "/federation/v1/"

/* Bodies: most are small; keys and messages have their own limits. */
#define SMALL	   ((size_t)16 << 10)
#define KEYS	   ((size_t)1 << 20)
#define LARGE	   ((size_t)4 << 20)

const struct route api_routes[] = {
	{METHOD_POST, API "auth/register", ROUTE_PUBLIC, KEYS, auth_register},
	{METHOD_POST, API "auth/challenge", ROUTE_PUBLIC, SMALL, auth_challenge},
	{METHOD_POST, API "auth/login", ROUTE_PUBLIC, SMALL, auth_login},
	{METHOD_POST, API "auth/refresh", ROUTE_PUBLIC, SMALL, auth_refresh},
	{METHOD_POST, API "auth/logout", ROUTE_AUTH, SMALL, auth_logout},
	{METHOD_GET, API "account", ROUTE_AUTH, 0, account_get},
	{METHOD_PATCH, API "account", ROUTE_AUTH, SMALL, account_change},
	{METHOD_DELETE, API "account", ROUTE_AUTH, SMALL, account_remove},
	{METHOD_PUT, API "account/password", ROUTE_AUTH, SMALL, account_password},
	{METHOD_GET, API "consent", ROUTE_AUTH, 0, consent_list},
	{METHOD_PUT, API "consent/{}", ROUTE_AUTH, SMALL, consent_accept},
	{METHOD_DELETE, API "consent/{}", ROUTE_AUTH, SMALL, consent_forget},
	{METHOD_PUT, API "blocks/{}", ROUTE_AUTH, SMALL, block_put},
	{METHOD_DELETE, API "blocks/{}", ROUTE_AUTH, SMALL, block_end},
	{METHOD_GET, API "devices", ROUTE_AUTH, 0, devices_list},
	{METHOD_PATCH, API "devices/{}", ROUTE_AUTH, SMALL, device_name},
	{METHOD_DELETE, API "devices/{}", ROUTE_AUTH, SMALL, device_delete},
	{METHOD_POST, API "devices/link-token", ROUTE_AUTH, SMALL, device_link_token},
	{METHOD_POST, API "devices/link", ROUTE_PUBLIC, KEYS, device_link},
	{METHOD_PUT, API "keys", ROUTE_AUTH, KEYS, keys_upload},
	{METHOD_GET, API "keys/stats", ROUTE_AUTH, 0, keys_count},
	{METHOD_GET, API "keys/devices/{}", ROUTE_AUTH, 0, keys_devices},
	{METHOD_POST, API "keys/claim", ROUTE_AUTH, SMALL, keys_claim},
	{METHOD_GET, API "keys/bundle/{}", ROUTE_AUTH, 0, keys_bundle},
	{METHOD_POST, API "messages/send", ROUTE_AUTH, LARGE, message_send},
	{METHOD_GET, API "messages/{}", ROUTE_AUTH, 0, message_status},
	{METHOD_GET, API "mailbox", ROUTE_AUTH, 0, mailbox_list},
	{METHOD_POST, API "mailbox/ack", ROUTE_AUTH, 4 * SMALL, mailbox_acknowledge},
	{METHOD_GET, "/.well-known/restante", ROUTE_PUBLIC, 0, wellknown_document},
	{METHOD_GET, "/healthz", ROUTE_PUBLIC, 0, health},
	{METHOD_GET, "/readyz", ROUTE_PUBLIC, 0, readiness},
	{METHOD_GET, "/metrics", ROUTE_PUBLIC, 0, metrics_text},
	{METHOD_POST, FEDERATION "transactions", ROUTE_SIGNED, LARGE, inbound_transaction},
	{METHOD_POST, FEDERATION "keys/claim", ROUTE_SIGNED, SMALL, inbound_claim},
	{METHOD_POST, FEDERATION "devices/list", ROUTE_SIGNED, SMALL, inbound_device_list},
	{0},
};

enum err api_token_check(struct node *node, struct bytes token, struct caller *caller_out)
{
	return token_verify(node->keys.token_secret, node->config->node_domain, token,
			    clock_now_ms(), caller_out);
}

/* One permit for a call. */
int64_t api_call_permit(struct node *node, const struct caller *caller)
{
	return limit_take(node, LIMIT_CALLS,
			  bytes_of(&caller->generation, sizeof(caller->generation)));
}

enum err api_authorize(struct request *request)
{
	static const char scheme[] = "Bearer ";
	struct bytes value = request->authorization;
	size_t n = sizeof(scheme) - 1;
	enum err err;

	if (value.len <= n || strncasecmp((const char *)value.data, scheme, n) != 0)
		return ERR_UNAUTHORIZED;
	err = api_token_check(request->context, bytes_of(value.data + n, value.len - n),
			      &request->caller);
	if (err != ERR_OK)
		return err;
	request->retry_after_ms = api_call_permit(request->context, &request->caller);
	return request->retry_after_ms > 0 ? ERR_RATE_LIMITED : ERR_OK;
}
