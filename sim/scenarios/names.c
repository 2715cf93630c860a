/* Whose a server's name is: an owner is killed, and while it is away another node attaches a server
 * of the same name; the others are killed and come back too. At last an operator frees the name.
 *
 *   never   a node takes another server than the owner's for the one of that name, before an
 *           operator freed it
 *   always  the other one can be reached as NAME.NODE; the owner, once back, has its name; a name
 *           that was freed is that server's which is there; in the end, who asks all members what
 *           they find hears of each */
#include <stdio.h>

#include "proto/base/memory.h"
#include "sim/mesh/http.h"
#include "sim/scenarios/scenarios.h"

#define STEP (50 * MN_MS)
#define LIMIT (60 * MN_SEC)
#define ROUNDS 5

struct story_of_a_name {
    struct sim *sim;
    struct sim_host *victim, *thief;
    const char *name; /* of the victim's own server */
    mn_id owner;      /* whose it is */
    bool has_slept;   /* the victim was down when that changed, and may not have heard of it yet */
    struct sim_answer answer;
};

static bool runs(const struct sim_host *host)
{
    return host->node != NULL && core_self(node_core(host->node)).is_ready;
}

/* Whom [at] would ask for [service]; false: nobody. */
static bool finds(const struct sim_host *at, const char *service, mn_id *ret)
{
    struct services_view view =
        services_find(core_services(node_core(at->node)), mn_span_str(service));

    if (view.kind != SERVICES_FOUND) return false;
    *ret = view.providers->node;
    return true;
}

/* ---- what must never be ---- */

static void check_owner(struct story_of_a_name *story)
{
    struct sim *sim = story->sim;
    char one[MN_ID_TEXT_SIZE], other[MN_ID_TEXT_SIZE];

    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        mn_id node;
        if (!runs(&sim->hosts[i]) || !finds(&sim->hosts[i], story->name, &node)) continue;
        if (story->has_slept && &sim->hosts[i] == story->victim) continue;
        if (!mn_id_equal(&node, &story->owner))
            sim_fail(sim, "%s takes the server of %.8s for %s, which is that of %.8s",
                     sim->hosts[i].name, mn_id_format(&node, one), story->name,
                     mn_id_format(&story->owner, other));
    }
}

/* ---- what must be in the end ---- */

typedef bool condition(const struct story_of_a_name *story, const struct sim_host *at);

static bool everywhere(const struct story_of_a_name *story, condition *is_so)
{
    for (uint32_t i = 0; i < story->sim->hosts_count; i++) {
        const struct sim_host *at = &story->sim->hosts[i];
        if (at != story->victim && !runs(at)) return false;
        if (runs(at) && !is_so(story, at)) return false;
    }
    return true;
}

static void await(struct story_of_a_name *story, condition *is_so, const char *what)
{
    struct sim *sim = story->sim;
    mn_time limit = sim->time + LIMIT;

    while (!sim->has_failed && sim->time < limit && !everywhere(story, is_so)) {
        sim_run_until(sim, sim->time + STEP);
        check_owner(story);
    }
    if (!sim->has_failed && !everywhere(story, is_so))
        sim_fail(sim, "a minute passed, and not everywhere %s (%s)", what, story->name);
}

static bool is_known_apart(const struct story_of_a_name *story, const struct sim_host *at)
{
    char full[96];
    mn_id node;

    snprintf(full, sizeof full, "%s.%s", story->name, story->thief->name);
    return finds(at, full, &node);
}

static bool is_the_owners(const struct story_of_a_name *story, const struct sim_host *at)
{
    mn_id node;

    return finds(at, story->name, &node) && mn_id_equal(&node, &story->owner);
}

static bool is_nobodys(const struct story_of_a_name *story, const struct sim_host *at)
{
    mn_id node;

    return !finds(at, story->name, &node);
}

/* Of all names that nodes offer there is a record, and every node has it. */
static bool is_written(const struct story_of_a_name *story, const struct sim_host *at)
{
    for (uint32_t i = 0; i < story->sim->hosts_count; i++) {
        const struct sim_host *of = &story->sim->hosts[i];
        for (uint32_t k = 0; k < of->servers_count; k++)
            if (services_owner(core_services(node_core(at->node)),
                               mn_span_str(of->servers[k].name)) == NULL)
                return false;
    }
    return true;
}

/* ---- what happens ---- */

static void ask(struct story_of_a_name *story, struct sim_host *at, const char *verb,
                const char *path, const char *body, uint32_t want)
{
    if (story->sim->has_failed) return;
    sim_operator_ask(at, verb, path, body, &story->answer);
    if (!story->sim->has_failed && story->answer.code != want)
        sim_fail(story->sim, "%s %s at %s: %u %s", verb, path, at->name, story->answer.code,
                 story->answer.text);
}

static void attach(struct story_of_a_name *story)
{
    char body[128];

    snprintf(body, sizeof body, "{\"%s\":{\"url\":\"http://shared.test/mcp\"}}", story->name);
    ask(story, story->thief, "POST", "/v1/servers", body, 200);
}

static void detach(struct story_of_a_name *story)
{
    char path[128];

    snprintf(path, sizeof path, "/v1/servers/%s", story->name);
    ask(story, story->thief, "DELETE", path, "", 200);
}

static void release(struct story_of_a_name *story, struct sim_host *at)
{
    char path[128];

    snprintf(path, sizeof path, "/v1/names/%s", story->name);
    ask(story, at, "DELETE", path, "", 200);
}

/* Every other node is killed at once, and started again. */
static void restart_all(struct story_of_a_name *story)
{
    struct sim *sim = story->sim;

    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        struct sim_host *host = &sim->hosts[i];
        if (host == story->victim) continue;
        sim_host_crash(host);
        sim_host_start_at(host, sim->time + rng_below_u64(&sim->rng_fault, 3 * MN_SEC));
    }
}

static void come_back(struct story_of_a_name *story)
{
    sim_host_start(story->victim);
    while (!story->sim->has_failed && !runs(story->victim)) {
        sim_run_until(story->sim, story->sim->time + STEP);
        check_owner(story);
    }
}

/* Whoever asks all members what they find hears of each, however many there are. */
static void check_gather(struct sim *sim)
{
    struct sim_answer answer;
    char asked[64];

    sim_operator_ask(&sim->hosts[sim->hosts_count - 1], "GET", "/v1/diagnosis", "", &answer);
    snprintf(asked, sizeof asked, "\"asked\":%u,\"answered\":%u,", sim->hosts_count,
             sim->hosts_count);
    if (!sim->has_failed && (answer.code != 200 || strstr(answer.text, asked) == NULL))
        sim_fail(sim, "not all of %u members were heard: %u %.300s", sim->hosts_count, answer.code,
                 answer.text);
}

/* Freed while its owner is away, the name is the other one's, and stays it. */
static void give_away(struct story_of_a_name *story)
{
    release(story, story->thief);
    if (story->sim->has_failed) return;
    story->owner = core_self(node_core(story->thief->node)).node_id;
    await(story, is_the_owners, "is the name that was freed the next one's");
    await(story, is_written, "is it written down whose it is");
    story->has_slept = true;
    come_back(story);
    await(story, is_the_owners, "has the new owner kept the name from the old one");
    story->has_slept = false;
    detach(story);
    await(story, is_nobodys, "is the name nobody's while its new owner has no such server");
    release(story, story->victim);
    story->owner = core_self(node_core(story->victim->node)).node_id;
}

static void play_round(struct sim *sim, uint32_t round)
{
    uint32_t victim = rng_below(&sim->rng_fault, sim->hosts_count);
    struct story_of_a_name story = {.sim = sim, .victim = &sim->hosts[victim]};

    story.thief = &sim->hosts[(victim + 1 + rng_below(&sim->rng_fault, sim->hosts_count - 1)) %
                              sim->hosts_count];
    story.name = story.victim->servers[0].name;
    story.owner = core_self(node_core(story.victim->node)).node_id;
    await(&story, is_written, "is it written down whose each name is");
    if (sim->has_failed) return;
    sim_host_crash(story.victim);
    sim_run_until(sim, sim->time + rng_below_u64(&sim->rng_fault, 10 * MN_SEC));
    attach(&story);
    await(&story, is_known_apart, "is the other server known by its full name");
    await(&story, is_nobodys, "is the name nobody's while its owner is away");
    if (!sim->has_failed && sim->options.has_faults) {
        restart_all(&story);
        await(&story, is_known_apart, "is that so again after a restart of all nodes");
        await(&story, is_nobodys, "does the name stay nobody's after a restart of all nodes");
    }
    if (sim->has_failed) return;
    if (round % 2 == 1) {
        give_away(&story);
    } else {
        come_back(&story);
        await(&story, is_the_owners, "has the owner its name again");
        await(&story, is_known_apart, "is the other server known by its full name beside it");
        detach(&story);
    }
    await(&story, is_the_owners, "has the owner its name in the end");
}

bool sim_run_names(struct sim *sim)
{
    if (sim->hosts_count < 4) {
        sim_fail(sim, "this scenario takes 4 nodes or more");
        return false;
    }
    sim_boot(sim);
    for (uint32_t round = 0; round < ROUNDS && !sim->has_failed; round++)
        play_round(sim, round);
    for (mn_time limit = sim->time + LIMIT; !sim_is_settled(sim) && sim->time < limit;) {
        if (sim->has_failed) return false;
        sim_run_until(sim, sim->time + STEP);
    }
    if (!sim->has_failed) sim_run_until(sim, sim->time + 2 * MN_SEC);
    if (!sim->has_failed) sim_check_settled(sim);
    if (!sim->has_failed) check_gather(sim);
    return !sim->has_failed;
}
