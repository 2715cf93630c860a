/* admin_world.h: an admin core over the real core of one node of mesh_world, with a scripted
 * gateway and scripted HTTP exchanges. */
#ifndef ADMIN_WORLD_H
#define ADMIN_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "node/admin/admin.h"
#include "tests/core/mesh_world.h"

/* Node 0 of a mesh of [count]; node 0 founded it. */
void operator_begin(uint32_t count);
void operator_begin_with(uint32_t node, struct admin_config config);
void operator_end(void);
extern struct admin *operator_admin;

/* What the gateway answers from now on; both texts are borrowed. */
struct operator_gateway {
    mn_status status;
    const char *json, *why;
};
extern struct operator_gateway operator_gateways[ADMIN_GATEWAY_COUNTS + 1];

/* What it was asked last. */
extern struct operator_asked {
    enum admin_gateway_verb verb; /* 0: nothing */
    char name[256], text[1024];
    uint64_t after;
    uint32_t count; /* in all */
} operator_asked;

/* Replaces what the core answers to its next commands, one after the other. */
void operator_core_says(const struct core_reply *reply);

/* ---- exchanges ---- */

struct operator_request {
    enum edge_listener listener; /* 0: the admin socket */
    bool is_remote;              /* not from loopback */
    const char *method, *target, *body;
    const char *type;          /* Content-Type; NULL: application/json with a body, else none */
    const char *host, *origin; /* of EDGE_LISTENER_HTTP */
    const char *bearer;        /* "Bearer TOKEN" */
};

/* Begins and sends the request; returns the exchange. */
uint64_t operator_open(const struct operator_request *request);
void operator_edge(enum edge_input_type type, uint64_t exchange, const char *bytes, bool is_last);

/* A whole exchange over the admin socket, which must be answered. Returns the body. */
const char *ask(const char *method, const char *target, const char *body);
const char *ask_with(const struct operator_request *request);

/* Of the exchange last asked for, or any that is named. */
uint32_t operator_code(uint64_t exchange); /* 0: no head yet */
const char *operator_body(uint64_t exchange);
const char *operator_header(uint64_t exchange, const char *name); /* NULL: none */
bool operator_is_over(uint64_t exchange);
bool operator_is_aborted(uint64_t exchange);
bool operator_is_stream(uint64_t exchange);
extern uint64_t operator_last;

/* ---- other inputs ---- */

void operator_event(enum mn_event event, uint64_t a, const char *text);
void operator_stop(void);
void operator_pass(mn_time time); /* the world goes on, and the admin core's timers */

/* `"code":"x"` and the status. */
#define assert_refused(expected_code, name)                                                   \
    do {                                                                                      \
        ck_assert_msg(operator_code(operator_last) == (expected_code), "%u: %s",              \
                      operator_code(operator_last), operator_body(operator_last));            \
        ck_assert_ptr_nonnull(strstr(operator_body(operator_last), "\"code\":\"" name "\"")); \
    } while (0)

#define assert_has(text, part) \
    ck_assert_msg(strstr(text, part) != NULL, "%s\nhas no %s", text, part)
#define assert_has_not(text, part) \
    ck_assert_msg(strstr(text, part) == NULL, "%s\nhas %s", text, part)

#endif
