/* admin_internal.h: what the files of the admin core share; nobody else includes it. admin.c owns
 * the exchanges, admin_route.c finds who handles a path, admin_answer.c writes what goes out; the
 * others handle the paths of one area each. */
#ifndef ADMIN_INTERNAL_H
#define ADMIN_INTERNAL_H

#include "crypto/rng.h"
#include "node/admin/admin.h"
#include "node/admin/reply.h"
#include "node/guard.h"
#include "node/json/json.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define ADMIN_EXCHANGES_MAX 256      /* at once; more: 503 */
#define ADMIN_FOLLOWERS_MAX 64       /* of these, streams that last */
#define ADMIN_BODY_MAX 262144        /* bytes of a request's body */
#define ADMIN_PATH_MAX 1024          /* bytes of a request's target */
#define ADMIN_METHOD_SIZE 8          /* of the longest method we know, its NUL included */
#define ADMIN_EVENTS_MAX 1000        /* kept for `events` */
#define ADMIN_KEY_PREFIX "apitoken/" /* in the store, then the id */
#define ADMIN_STREAM_QUEUE 1048576   /* bytes a follower may lag behind before it is cut off */

/* What waits for the gateway, the core or the metadata group; number 0: for none of them. */
struct admin_ticket {
    struct mn_map_entry by_number;
    uint64_t number;
    struct admin_exchange *exchange;
};

/* One HTTP exchange from OPEN to its last byte. */
struct admin_exchange {
    struct mn_map_entry by_id;
    uint64_t id;
    struct admin_ticket ticket;
    struct admin_bundle *bundle; /* of requests about the keyspace; NULL: it is one request */
    bool is_admin;               /* came over the admin socket */
    enum guard_role role;        /* what its credential allows on /v1 */
    mn_id token;                 /* principal of its API token, with which it ends; zero: none */
    bool is_json;                /* says that its body is JSON */
    bool has_type;               /* says what its body is */
    uint64_t write;              /* its answer waits until this is durable; 0: for none */
    struct mn_buf *answer;
    char method[ADMIN_METHOD_SIZE];
    char *path, *query; /* in one block; query without '?', maybe empty */
    struct mn_writer body;
    const struct admin_route *route; /* once dispatched */
    struct mn_span rest;             /* what stands in the path where the route says `*` */

    bool is_chosen; /* token to withdraw: the one that is meant is found; recovery: it is ordered;
                     * replicas: they are asked; status: all are, for the group answers nobody */
    mn_id node;     /* that is revoked or removed */
    char node_name[GRANT_NAME_SIZE];
    bool is_stream;            /* follows events or a log */
    uint64_t after;            /* newest line sent */
    struct strong_place place; /* changes up to here were sent */
    size_t queued;             /* bytes since the last WRITABLE */
    struct mn_list follower;   /* in admin->followers */
};

struct admin {
    struct admin_config config; /* its pointers but [core] are not used after admin_new() */
    char *http_listen;
    struct mn_buf *settings;
    bool has_root_key;               /* the mesh's root.key lies in the data directory */
    struct guard *guard, *own_guard; /* own: NULL when it is somebody else's */
    struct rng rng;
    uint64_t writes_own;     /* if the owner does not count */
    uint64_t durable;        /* every write up to this number is on stable storage */
    struct mn_map exchanges; /* by id */
    struct mn_map tickets;   /* those that wait */
    uint64_t ticket_next;
    struct mn_list followers;
    uint32_t followers_count;
    mn_time poll_at;  /* next look at followed logs */
    mn_time judge_at; /* and at the tokens of followers */
    bool is_stopping;
    struct json_parser *parser;
    struct mn_trace_event *events; /* ring of ADMIN_EVENTS_MAX */
    mn_time *events_wall;
    uint64_t events_count;
};

/* What a handler works with. */
struct admin_request {
    struct admin *admin;
    struct admin_exchange *exchange; /* NULL: it is over, or never began */
    struct admin_ticket *ticket;     /* that an answer is for */
    uint64_t id;                     /* of the exchange */
    struct mn_now now;
    struct admin_outbox *outbox;
};

/* Handles a request, or goes on with the gateway's or the core's answer; the other one is NULL. */
typedef void admin_handler(struct admin_request *request);
typedef void admin_gateway_handler(struct admin_request *request,
                                   const struct admin_gateway_answer *answer);
typedef void admin_state_handler(struct admin_request *request, const struct state_answer *answer);
typedef void admin_core_handler(struct admin_request *request, const struct core_reply *answer);

struct admin_route {
    const char *method, *path; /* one `*` in the path matches one segment that is not empty */
    const char *params;        /* names of the query that it takes, between blanks; NULL: none */
    admin_handler *handle;
    admin_gateway_handler *on_gateway; /* for routes that ask the gateway */
    admin_core_handler *on_core;       /* for routes that ask the core */
    admin_state_handler *on_state;     /* for routes that ask the metadata group */
};

/* ---- admin.c ---- */

/* The exchange is over: its last byte was emitted. */
void admin_over(struct admin_request *request);

/* Asks and waits: the route's on_gateway() or on_core() goes on. */
void admin_ask_gateway(struct admin_request *request, struct admin_gateway_request gateway);
void admin_ask_core(struct admin_request *request, struct core_command command);
void admin_ask_state(struct admin_request *request, struct state_request state);

/* The same for one of several: [ticket] is zero, and stays where it is until it is answered. */
void admin_ask_state_as(struct admin_request *request, struct admin_ticket *ticket,
                        struct state_request state);
void admin_drop_ticket(struct admin *admin, struct admin_ticket *ticket);

/* ---- admin_answer.c: each ends the exchange ---- */

void admin_answer(struct admin_request *request, uint32_t code, struct reply *reply);

/* The same with 200, once everything written so far is durable. */
void admin_answer_durable(struct admin_request *request, struct reply *reply);
void admin_answer_written(struct admin_request *request);

/* {"error":{...}}. [name] is one of docs/API.md; [hint] is the next command to try. */
void admin_fail(struct admin_request *request, uint32_t code, const char *name, struct mn_span text,
                const char *hint);
void admin_fail_text(struct admin_request *request, uint32_t code, const char *name,
                     const char *text, const char *hint);

/* What the gateway or the core refused, in its own words [why], which may be empty. */
void admin_fail_status(struct admin_request *request, mn_status status, struct mn_span why,
                       const char *hint);

/* What the core refused: it is no member of a mesh yet, which passes, or as above. */
void admin_fail_core(struct admin_request *request, const struct core_reply *answer,
                     const char *hint);
void admin_fail_not_ready(struct admin_request *request);

/* 405, with the methods that the path has. */
void admin_fail_method(struct admin_request *request, const char *allow);

/* Begins a stream of JSON lines, whose exchange goes on. */
void admin_stream_head(struct admin_request *request);

/* ---- admin_route.c ---- */

/* The request is here, whole: hands it to its handler, or refuses it. */
void admin_dispatch(struct admin_request *request);

/* The body as one JSON object; NULL: it was refused, the exchange is over. */
const struct json *admin_body(struct admin_request *request);

/* Value of a query parameter, decoded, in the arena of the turn; data == NULL: absent. */
struct mn_span admin_query(struct admin_request *request, const char *name);

/* JSON that another core wrote, if it is of that type; else NULL. [depth_kept]: see json.h. */
const struct json *admin_parse(struct admin_request *request, struct mn_span text,
                               enum json_type type, uint32_t depth_kept);

/* ---- API tokens (admin_apitokens.c) ---- */

void admin_token_recover(struct admin *admin, struct mn_now now, struct mn_span value);

/* Makes one of [role] as the body asks, which was read: the exchange ends. */
void admin_token_create(struct admin_request *request, const struct json *body,
                        enum guard_role role);
void admin_token_revoke(struct admin_request *request, const struct guard_token *token);
void admin_token_write(struct reply *reply, const struct guard_token *token);

/* Writes [value] under [key]; data == NULL: deletes it. */
void admin_store(struct admin_request *request, const char *key, struct mn_span value);

/* admin_state.c: what requests about the keyspace have in common. A number of the query or its
 * default, timeout_ms likewise: false when it was refused. The third is true when the answer is
 * none, which was told. */
bool admin_state_query(struct admin_request *request, const char *name, uint64_t least,
                       uint64_t most, uint64_t *value);
bool admin_state_timeout(struct admin_request *request, struct state_request *state);
/* Whom a survey asks: this node and the members that live; [is_group]: of the group only. Others
 * would be waited for. */
void admin_survey_nodes(struct admin_request *request, struct state_survey_ask *ask, bool is_group);

bool admin_state_told(struct admin_request *request, const struct state_answer *answer);

/* The same of a command, and when it was refused. */
bool admin_state_refused(struct admin_request *request, enum strong_verb verb,
                         const struct state_answer *answer);

/* True: the answer is none, and why. Texts may be in [arena]. */
struct admin_refusal {
    uint32_t code;
    const char *name, *text, *hint;
};
bool admin_state_refusal(enum strong_verb verb, const struct state_answer *answer,
                         struct mn_arena *arena, struct admin_refusal *ret);

/* Commands as a body says them, but for their key. False: refused. */
bool admin_state_read_put(struct admin_request *request, const struct json *body,
                          struct strong_command *command);
bool admin_state_read_remove(struct admin_request *request, const struct json *body,
                             struct strong_command *command);
bool admin_state_read_add(struct admin_request *request, const struct json *body,
                          struct strong_command *command);
void admin_state_write_pair(struct reply *reply, const struct strong_pair *pair);

/* ---- several requests about the keyspace in one (admin_bundle.c) ---- */

struct admin_bundle;
void admin_bundle_handle(struct admin_request *request);
void admin_bundle_on_answer(struct admin_request *request, const struct state_answer *answer);
void admin_bundle_free(struct admin *admin, struct admin_bundle *bundle); /* NULL is fine */

/* admin_consensus.c: NULL: membership does not know it. Its name, or the beginning of its id. */
const struct member *admin_member(struct admin_request *request, const mn_id *node);
const char *admin_member_name(struct admin_request *request, const mn_id *node);

/* admin_nodes.c: the one member that is called [name], or whose id begins so; NULL: answered. */
const struct member *admin_find_node(struct admin_request *request, struct mn_span name);

/* Whether [prefix] may stand for the whole of [id]. */
#define ADMIN_PREFIX_MIN 4 /* characters */
bool admin_id_begins(const mn_id *id, struct mn_span prefix);

/* Whether it does not come back by itself: dead, left or not known. A suspect may. */
bool admin_is_gone(const struct member *member);

/* admin_consensus.c: the voters that are here and those that are not, of the half that lacks a
 * quorum, else of the new one. */
struct admin_quorum {
    bool is_lacking, is_old; /* is_old: of those who voted before a change that is under way */
    uint64_t here, total;    /* weight */
    const char *missing;     /* names; "": nobody */
    mn_time since;           /* when the last of them went; 0: not known */
};
struct admin_quorum admin_quorum_of(struct admin_request *request,
                                    const struct quorum_config *config,
                                    bool (*is_away)(const struct member *));

/* "version" of a member; null of one that we have no link to. */
void admin_write_version(struct reply *reply, struct admin_request *request, const mn_id *node);

/* admin_names.c: "held", "claimed", "kept" (claimed, while the owner is away), "away", "new" (not
 * written down yet) or "contested" (nobody's); and who claims it, NULL: only how many. */
const char *admin_name_state(const struct services_name *name);
uint32_t admin_name_claimants(const struct services_name *name, struct mn_arena *arena,
                              const char **text);

/* ---- findings: what is not well, and the next command to try (admin_findings.c) ---- */

enum findings_scope { FINDINGS_ALL = 0, FINDINGS_NODE, FINDINGS_MESH };

/* Writes "level":"ok|warning|critical","findings":[...]; [counts]: what the gateway said of COUNTS,
 * parsed two levels deep, or NULL. */
void findings_write(struct reply *reply, struct admin_request *request, enum findings_scope scope,
                    const struct json *counts);

/* ---- streams (admin_stream.c) ---- */

void admin_stream_event(struct admin *admin, struct mn_now now, const struct mn_trace_event *event,
                        struct admin_outbox *outbox);
void admin_stream_poll(struct admin *admin, struct mn_now now, struct admin_outbox *outbox);

/* Ends the streams of tokens that have ended. */
void admin_stream_judge(struct admin *admin, struct mn_now now, struct admin_outbox *outbox);

/* Asked with follow=1? */
bool admin_stream_follows(struct admin_request *request);

/* The head of a stream. False: too many follow already, which was said. */
bool admin_stream_begin(struct admin_request *request);

/* Takes [lines]. A follower that is too slow is cut off: then request->exchange is NULL. */
void admin_stream_send(struct admin_request *request, struct mn_writer *lines);

/* Takes [lines], the last ones. */
void admin_stream_finish(struct admin_request *request, struct mn_writer *lines);

/* The exchange ends, if it is a stream or not. */
void admin_stream_end(struct admin *admin, struct admin_exchange *exchange);

/* ---- the routes, by area; each ends with a zero ---- */

extern const struct admin_route admin_node_routes[], admin_status_routes[], admin_gateway_routes[],
    admin_token_routes[], admin_pending_routes[], admin_stream_routes[], admin_trust_routes[],
    admin_decision_routes[], admin_state_routes[], admin_watch_routes[], admin_recover_routes[],
    admin_consensus_routes[], admin_curation_routes[], admin_diagnosis_routes[],
    admin_name_routes[];

#endif
