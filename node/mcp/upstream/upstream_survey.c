#include "node/mcp/upstream/upstream_survey.h"

#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/wire/audience.h"
#include "proto/base/check.h"

#define RELISTS_MAX 3 /* of a session whose lists change while they are read */

/* What is asked after all of them together, if that makes a difference. */
static const uint32_t singles[] = {AUDIENCE_SAMPLING, AUDIENCE_ELICITATION, AUDIENCE_ROOTS,
                                   AUDIENCE_SAMPLING | AUDIENCE_SAMPLING_TOOLS,
                                   AUDIENCE_ELICITATION_URL};
static const uint32_t groups[] = {AUDIENCE_SAMPLING | AUDIENCE_TASKS,
                                  AUDIENCE_ELICITATION | AUDIENCE_TASKS,

                                  AUDIENCE_SAMPLING | AUDIENCE_ELICITATION,
                                  AUDIENCE_SAMPLING | AUDIENCE_ROOTS,
                                  AUDIENCE_ELICITATION | AUDIENCE_ROOTS,
                                  AUDIENCE_ELICITATION | AUDIENCE_ELICITATION_URL,
                                  AUDIENCE_SAMPLING | AUDIENCE_ELICITATION | AUDIENCE_ROOTS};

static struct upstream *survey_origin(struct upstream *server)
{
    return server->is_probe ? server->lease.origin : server;
}

/* ---- asking ---- */

/* Those that servers are known to go by, and what this one says of itself: who acts on what a
 * client declares of an extension has reason to declare it, too. */
static void survey_know(struct upstream *server)
{
    static const char *const groups_known[] = {"extensions", "experimental"};
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    struct upstream_host *host = server->host;
    struct upstream_shown *seen = &server->survey.seen;
    const struct json *all = NULL;

    upstream_shown_know(seen, mn_span_str(AUDIENCE_UI), mn_span_str(AUDIENCE_UI_SETTINGS));
    upstream_shown_know(seen, mn_span_str(AUDIENCE_LATER), mn_span_str("{}"));
    if (server->capabilities == NULL ||
        json_parse_copy(host->parser, mn_buf_span(server->capabilities), limits, &host->scratch,
                        &all) != MN_OK)
        return;
    for (size_t i = 0; i < sizeof groups_known / sizeof *groups_known; i++) {
        const struct json *group = json_find_str(all, groups_known[i]);
        if (!json_is(group, JSON_OBJECT)) continue;
        for (const struct json *key = json_first(group); key != NULL; key = json_next(group, key)) {
            const struct json *settings = json_value(key);
            if (!json_is(settings, JSON_OBJECT) || key->text.size > AUDIENCE_NAME_MAX ||
                settings->raw.size > AUDIENCE_SETTINGS_MAX ||
                memchr(key->text.data, 0, key->text.size) != NULL)
                continue;
            upstream_shown_know(
                seen,
                mn_span_str(mn_arena_format(&host->scratch, "%s/%.*s", groups_known[i],
                                            (int)key->text.size, (const char *)key->text.data)),
                settings->raw);
        }
    }
}

void upstream_survey_write(const struct upstream *server, struct mn_writer *writer)
{
    const struct upstream_survey *survey = &server->survey;

    audience_write(writer, survey->ask.set, survey->seen.extensions, survey->seen.extensions_count,
                   survey->ask.extensions);
}

/* All capabilities of which its revision knows. */
static uint32_t survey_full(const struct upstream *server)
{
    const uint32_t young = AUDIENCE_SAMPLING_TOOLS | AUDIENCE_ELICITATION_URL;

    if (upstream_is_modern(server)) return AUDIENCE_FULL & ~(uint32_t)AUDIENCE_TASKS;
    if (strcmp(server->version, UPSTREAM_LEGACY_VERSION) >= 0) return AUDIENCE_FULL;
    return AUDIENCE_FULL & ~(young | AUDIENCE_TASKS);
}

static void survey_ask(struct upstream *server, struct upstream_ask ask)
{
    struct upstream_survey *survey = &server->survey;
    struct mn_writer capabilities = {0};
    struct upstream *probe;

    survey->ask = ask;
    upstream_timer_set(server->host, &survey->timer, UPSTREAM_SURVEY_TIMEOUT);
    if (upstream_is_modern(server)) {
        upstream_list_survey(server);
        return;
    }
    upstream_survey_write(server, &capabilities);
    probe = upstream_new(server->host, server->config);
    probe->is_removed = probe->is_lease = probe->is_probe = true; /* it has no name of its own */
    probe->era = UPSTREAM_ERA_LEGACY;
    probe->lease.origin = server;
    probe->lease.capabilities = mn_writer_done(&capabilities);
    survey->probe = probe;
    upstream_start(probe);
}

static void survey_close_probe(struct upstream *server)
{
    struct upstream *probe = server->survey.probe;

    server->survey.probe = NULL;
    if (probe == NULL) return;
    if (probe->state != UPSTREAM_STOPPED) upstream_stop(probe, UPSTREAM_AFTER_NOTHING);
    probe->lease.origin = NULL; /* its child may outlive the server */
    server->host->has_ended = true;
}

/* Nothing of it is under way any more. */
static void survey_close(struct upstream *server)
{
    struct upstream_survey *survey = &server->survey;

    survey->is_active = false;
    upstream_timer_clear(server->host, &survey->timer);
    survey_close_probe(server);
    upstream_shown_done(&survey->seen);
    upstream_tools_done(&survey->seen_tools);
}

/* Changes are seen at once, also some in a row; who changes all the time is asked ever more seldom.
 */
static mn_time survey_pause(struct upstream *server)
{
    struct upstream_survey *survey = &server->survey;
    bool is_modern = upstream_is_modern(server);
    mn_time least = is_modern ? UPSTREAM_SURVEY_PAUSE_MODERN : UPSTREAM_SURVEY_PAUSE;
    mn_time each = is_modern ? UPSTREAM_SURVEY_EARNED_MODERN : UPSTREAM_SURVEY_EARNED;
    uint64_t earned = 0;

    if (server->host->now.mono > survey->next_at)
        earned = (server->host->now.mono - survey->next_at) / each;
    survey->spent -= earned < survey->spent ? (uint32_t)earned : survey->spent;
    if (survey->spent < UPSTREAM_SURVEY_BURST) {
        if (survey->spent > 0) MN_PROBE("upstream: a second change in a row is asked for at once");
        survey->spent++;
        return UPSTREAM_SURVEY_PAUSE_MODERN;
    }
    return mn_time_min(mn_time_max(2 * survey->pause, least), UPSTREAM_SURVEY_PAUSES * least);
}

static void survey_begin(struct upstream *server)
{
    struct upstream_survey *survey = &server->survey;

    survey->pause = survey_pause(server);
    survey->is_active = true;
    survey->is_due = false;
    upstream_shown_begin(&survey->seen, server->plain, rng_u64(&server->host->rng));
    survey_know(server);
    survey_ask(server, (struct upstream_ask){survey_full(server),
                                             (1u << survey->seen.extensions_count) - 1});
}

static bool survey_is_wanted(const struct upstream *server, struct upstream_ask ask)
{
    return (ask.set & ~survey_full(server)) == 0 &&
           upstream_shown_times(&server->survey.seen, ask) == 0;
}

/* The first of [sets] with these extensions that was not asked for. */
static bool survey_first_of(const struct upstream *server, const uint32_t *sets, size_t count,
                            uint32_t extensions, struct upstream_ask *ret)
{
    for (size_t i = 0; i < count; i++) {
        *ret = (struct upstream_ask){sets[i], extensions};
        if (survey_is_wanted(server, *ret)) return true;
    }
    return false;
}

#define FIRST_OF(sets, extensions, ret) \
    survey_first_of(server, sets, sizeof(sets) / sizeof *(sets), extensions, ret)

static bool survey_next_set(const struct upstream *server, struct upstream_ask *ret)
{
    const struct upstream_shown *seen = &server->survey.seen;
    struct upstream_ask full = {survey_full(server), 0};

    if (!upstream_shown_differs(seen, full)) return false;
    return FIRST_OF(singles, 0, ret) ||
           (upstream_shown_is_only(seen, full) && FIRST_OF(groups, 0, ret));
}

static bool survey_next_extension(const struct upstream *server, uint32_t set,
                                  struct upstream_ask *ret)
{
    for (uint32_t i = 0; i < server->survey.seen.extensions_count; i++) {
        *ret = (struct upstream_ask){set, 1u << i};
        if (survey_is_wanted(server, *ret)) return true;
    }
    return false;
}

/* What takes an extension and a capability. */
static bool survey_next_together(const struct upstream *server, struct upstream_ask *ret)
{
    const struct upstream_shown *seen = &server->survey.seen;
    uint32_t full = survey_full(server);

    for (uint32_t i = 0; i < seen->extensions_count; i++) {
        struct upstream_ask with = {full, 1u << i}, first = {singles[0], 1u << i};
        bool is_begun = upstream_shown_times(seen, first) > 0;
        if ((is_begun || upstream_shown_is_only(seen, with)) && FIRST_OF(singles, 1u << i, ret))
            return true;
    }
    return !upstream_shown_is_explained(seen) &&
           (survey_next_extension(server, 0, ret) || survey_next_extension(server, full, ret));
}

/* What is left to ask; false: nothing. */
static bool survey_next(const struct upstream *server, struct upstream_ask *ret)
{
    const struct upstream_shown *seen = &server->survey.seen;
    uint32_t all = (1u << seen->extensions_count) - 1;
    struct upstream_ask plain = {0, 0}, full = {survey_full(server), 0}, known = {0, all};

    if (!upstream_shown_differs(seen, seen->asks[1]) || seen->asks_count == UPSTREAM_ASKS_MAX)
        return false;
    *ret = plain;
    if (upstream_shown_has_variants(seen) && upstream_shown_times(seen, plain) < 2) {
        MN_PROBE("upstream: a server defines something otherwise for some clients");
        return true;
    }
    *ret = full;
    if (survey_is_wanted(server, full)) return true;
    *ret = known;
    if (survey_is_wanted(server, known)) return true;
    return survey_next_set(server, ret) ||
           (upstream_shown_differs(seen, known) && survey_next_extension(server, 0, ret)) ||
           survey_next_together(server, ret);
}

/* ---- when ---- */

static bool survey_may(const struct upstream *server)
{
    return !server->is_lease && !server->config->is_uniform && !server->host->is_stopping &&
           server->state == UPSTREAM_READY && server->plain != NULL && !server->list.is_active;
}

/* Begins now, or as soon as it may. */
static void survey_consider(struct upstream *server)
{
    struct upstream_survey *survey = &server->survey;
    mn_time now = server->host->now.mono;

    if (survey->is_active || !survey->is_due || !survey_may(server)) return;
    if (now >= survey->next_at)
        survey_begin(server);
    else
        upstream_timer_set(server->host, &survey->timer, survey->next_at - now);
}

void upstream_survey_wish(struct upstream *server)
{
    if (!server->is_lease) server->survey.is_due = true;
}

/* ---- what comes of it ---- */

static void survey_publish(struct upstream *server)
{
    struct upstream_survey *survey = &server->survey;
    uint64_t seed = rng_u64(&server->host->rng);
    struct mn_buf *offer = upstream_shown_merge(&survey->known, server->plain, seed);

    upstream_timer_clear(server->host, &survey->hold);
    if (offer == NULL) {
        upstream_note(server, "what it shows only to some clients is not offered: its lists are "
                              "too large with it");
        offer = mn_buf_ref(server->plain);
    }
    upstream_offer(server, upstream_said_add(server, offer));
}

static bool survey_is_of(const struct upstream_survey *survey, const struct mn_buf *plain)
{
    return survey->of != NULL && mn_span_equal(mn_buf_span(survey->of), mn_buf_span(plain));
}

static void survey_remember(struct upstream *server)
{
    mn_buf_unref(server->survey.of);
    server->survey.of = mn_buf_ref(server->plain);
}

static void survey_forget(struct upstream *server)
{
    upstream_shown_done(&server->survey.known);
    upstream_tools_done(&server->survey.tools);
}

/* It went wrong [count] times before. */
static void survey_put_off(struct upstream *server, mn_time wait, uint32_t count)
{
    struct upstream_survey *survey = &server->survey;

    survey->next_at = mn_time_after(
        server->host->now.mono,
        wait << (count < UPSTREAM_SURVEY_DOUBLINGS ? count : UPSTREAM_SURVEY_DOUBLINGS));
    survey->is_due = true;
}

static void survey_fail(struct upstream *server, const char *why)
{
    struct upstream_survey *survey = &server->survey;

    upstream_note(server, why);
    mn_buf_unref(survey->error);
    survey->error = mn_buf_copy(mn_span_str(why));
}

/* What the server declares itself. */
static struct audience_client survey_declared(struct upstream *server)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, AUDIENCE_DEPTH, JSON_NODES_MAX};
    const struct json *all;

    if (server->capabilities == NULL ||
        json_parse_copy(server->host->parser, mn_buf_span(server->capabilities), limits,
                        &server->host->scratch, &all) != MN_OK)
        return (struct audience_client){0};
    return audience_client(all);
}

static void survey_mind(struct upstream *server)
{
    struct upstream_survey *survey = &server->survey;
    struct audience_client own = survey_declared(server);

    survey->minds = (struct audience_relevant){0};
    memcpy(survey->minds.extensions, own.extensions, sizeof own.extensions);
    survey->minds.extensions_count = own.extensions_count;
    upstream_shown_add_relevant(&survey->known, &survey->minds);
    if (survey->minds.extensions_count > own.extensions_count)
        MN_PROBE("upstream: a server shows other lists to clients that declare an extension");
}

bool upstream_survey_minds(const struct upstream *server, const struct json *declared)
{
    struct audience_client client, part;

    if (server->survey.minds.extensions_count == 0) return false;
    client = audience_client(declared);
    part = audience_part(&client, &server->survey.minds);
    return part.extensions_count > 0;
}

static void survey_conclude(struct upstream *server)
{
    struct upstream_survey *survey = &server->survey;
    struct upstream_shown found;

    upstream_shown_conclude(&survey->seen, &found, rng_u64(&server->host->rng));
    survey_forget(server);
    survey->known = found;
    if (!upstream_shown_is_empty(&found)) {
        MN_PROBE("upstream: a server shows other lists to clients that can be asked");
        survey->tools = survey->seen_tools;
        survey->seen_tools = (struct upstream_tools){0};
    }
    survey_mind(server);
    survey_remember(server);
    survey_close(server);
    survey->was_done = true;
    survey->failures = survey->breaks = 0;
    survey->error = mn_buf_unref(survey->error);
    survey->next_at = mn_time_after(server->host->now.mono, survey->pause);
    survey->look_at = mn_time_after(server->host->now.mono, UPSTREAM_SURVEY_LOOK);
    survey_publish(server);
    survey_consider(server);
}

void upstream_survey_lost(struct upstream *from, const char *why)
{
    struct upstream *server = survey_origin(from);
    struct upstream_survey *survey = server == NULL ? NULL : &server->survey;
    bool is_stale;

    if (survey == NULL || !survey->is_active) return;
    MN_PROBE("upstream: a survey of lists is given up");
    is_stale = server->list.is_survey && server->list.is_stale;
    if (server->list.is_survey) upstream_list_drop(&server->list);
    survey_fail(server, mn_arena_format(&server->host->scratch,
                                        "which tools it has for clients that can be asked is not "
                                        "known: %s",
                                        why));
    survey_close(server);
    survey->was_done = true;
    survey_put_off(server, UPSTREAM_SURVEY_RETRY, survey->failures++);
    if (!survey_is_of(survey, server->plain)) survey_forget(server); /* of other lists than these */
    survey_remember(server);
    survey_publish(server);
    survey_consider(server);
    if (is_stale) upstream_relist_soon(server);
}

/* A session whose lists changed while they were read reads them again. */
static bool survey_reads_again(struct upstream *probe)
{
    if (!probe->is_probe || !probe->list.is_stale || probe->survey.relists >= RELISTS_MAX)
        return false;
    probe->survey.relists++;
    upstream_list_drop(&probe->list);
    upstream_list_start(probe);
    return true;
}

void upstream_survey_on_lists(struct upstream *from)
{
    struct upstream *server = survey_origin(from);
    struct upstream_survey *survey = &server->survey;
    bool is_stale = !from->is_probe && from->list.is_stale;
    struct upstream_ask next;

    if (survey_reads_again(from)) return;
    upstream_shown_note(&survey->seen, survey->ask, &from->list);
    if (survey->seen.asks_count == 2) { /* of everything */
        survey->seen_tools = from->list.found;
        from->list.found = (struct upstream_tools){0};
    }
    upstream_list_drop(&from->list);
    survey_close_probe(server);
    if (is_stale) { /* what was seen is of two states */
        survey_close(server);
        survey->is_due = true;
        upstream_relist_soon(server);
        return;
    }
    if (survey_next(server, &next))
        survey_ask(server, next);
    else
        survey_conclude(server);
}

void upstream_survey_offer(struct upstream *server)
{
    struct upstream_survey *survey = &server->survey;
    bool is_looked_at = server->is_http && server->host->now.mono >= survey->look_at;

    if (upstream_is_modern(server) || is_looked_at || !survey_is_of(survey, server->plain))
        survey->is_due = true;
    survey_consider(server);
    if (!survey->is_active || survey->was_done || server->is_offered)
        survey_publish(server);
    else if (!upstream_timer_is_set(&survey->hold))
        upstream_timer_set(server->host, &survey->hold, UPSTREAM_SURVEY_HOLD);
}

void upstream_survey_end(struct upstream *server, bool is_break)
{
    struct upstream_survey *survey = &server->survey;

    if (server->is_probe) return;
    upstream_timer_clear(server->host, &survey->timer);
    upstream_timer_clear(server->host, &survey->hold);
    survey->is_due = true; /* in the next session */
    if (!survey->is_active) return;
    survey_close(server);
    if (!is_break || ++survey->breaks < UPSTREAM_SURVEY_BREAKS) return;
    survey->was_done = true;
    survey_put_off(server, UPSTREAM_SURVEY_BROKEN, survey->breaks - UPSTREAM_SURVEY_BREAKS);
    survey_fail(server, "which tools it has for clients that can be asked is not known: it breaks "
                        "when it is asked");
}

void upstream_survey_reset(struct upstream *server)
{
    upstream_survey_end(server, false);
    server->survey.breaks = server->survey.failures = 0;
    server->survey.next_at = 0;
}

bool upstream_survey_asks(const struct upstream *server)
{
    return server->is_probe || server->list.is_survey;
}

void upstream_survey_on_timer(struct upstream *server)
{
    if (server->survey.is_active) {
        upstream_request_drop_lists(server);
        upstream_survey_lost(server, "does not answer in time");
    } else {
        survey_consider(server);
    }
}

void upstream_survey_on_hold(struct upstream *server)
{
    MN_PROBE("upstream: a first offer does not wait for its survey any longer");
    server->survey.was_done = true;
    survey_publish(server);
}

void upstream_survey_probe_done(struct upstream *probe)
{
    struct upstream *server = probe->lease.origin;

    if (server != NULL && server->survey.probe == probe) server->survey.probe = NULL;
}

void upstream_survey_done(struct upstream *server)
{
    if (server->survey.probe != NULL) server->survey.probe->lease.origin = NULL;
    server->survey.probe = NULL;
    survey_close(server);
    survey_forget(server);
    server->survey.of = mn_buf_unref(server->survey.of);
    server->survey.error = mn_buf_unref(server->survey.error);
    upstream_timer_clear(server->host, &server->survey.hold);
}

const struct upstream_tool *upstream_survey_tool(const struct upstream *server, struct mn_span name)
{
    const struct upstream_tool *tool = upstream_tools_find(&server->tools, name);

    return tool != NULL ? tool : upstream_tools_find(&server->survey.tools, name);
}
