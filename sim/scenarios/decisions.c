/* Decisions of whole nodes: everybody proposes, with equal weights and with those that follow from
 * what nodes measure, byzantine and not; operators vote as the dice say; meanwhile everything goes
 * wrong that can. Nobody lies here (bftsim has liars): what is wrong comes from what a node forgot,
 * or said before it was on its disk.
 *
 *   never   a vote that nobody gave; two votes of one node on a decision; a yes of one node to two
 *           values of a topic within one window; two certified outcomes of a decision, unless
 *           enough of its voters lost their disks since; a certified outcome that its votes do
 *           not make, or whose certificate does not stand by itself; a node convicted, unless it
 *           lost its disk
 *   in the end  each decision that is known has an outcome, and if it is byzantine its voters have
 *           the same one, certified, where clocks were right; what a proposer was told exists is
 * known to it; and what all say yes to is decided everywhere */
#include <inttypes.h>
#include <stdio.h>

#include "node/json/json.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"
#include "sim/scenarios/scenarios.h"

#define PATIENCE (15 * MN_SEC)
#define LOOK_TIME (50 * MN_MS)
#define END_TIME (45 * MN_SEC) /* all deadlines, and then an agreement */
#define KEPT_FOR \
    (60 * MN_SEC)          /* at least, after the deadline: far fewer are made than may be known */
#define SKEW (10 * MN_SEC) /* more than any timeout here, and when it is first seen */
#define CALM_TIME (30 * MN_SEC)
#define ITEMS_MAX 1024u
#define HOSTS_MAX 16u
#define LIMITS ((struct json_limits){.depth_max = 16, .depth_kept = 6, .nodes_max = 65536})

/* A decision, as far as anybody has seen it. */
struct item {
    mn_id id;
    char topic[16], value[16];
    uint64_t deadline_ms;
    bool is_byzantine;
    bool is_skewed; /* made by a clock that was wrong: others may have refused it */
    mn_time since;  /* first seen */
    enum decision_outcome certified;        /* OPEN: nowhere yet */
    uint32_t asked[HOSTS_MAX];              /* set of the choices that its operator gave */
    enum decision_choice choice[HOSTS_MAX]; /* that it said, as anybody has seen */
    uint32_t verified;                      /* set of hosts whose certificate was read */
    struct sim_host *told;                  /* proposed it, and its client knows */
};

struct decisions {
    struct sim *sim;
    mn_id ids[HOSTS_MAX];
    uint32_t leapt; /* set of hosts whose wall clock ever leapt: a yes may bind them for less */
    struct item items[ITEMS_MAX];
    uint32_t count;
    struct sim_event look, propose, vote;
    uint64_t voted, refused, kinds[2]; /* certified: byzantine or not */
};

static const struct decision *decision_of(const struct sim_host *host)
{
    return host->node == NULL ? NULL : core_decision(node_core(host->node));
}

static struct item *item_find(struct decisions *all, const mn_id *id)
{
    for (uint32_t i = all->count; i-- > 0;)
        if (mn_id_equal(&all->items[i].id, id)) return &all->items[i];
    return NULL;
}

static int host_of(const struct decisions *all, const mn_id *id)
{
    for (uint32_t i = 0; i < all->sim->hosts_count; i++)
        if (mn_id_equal(&all->ids[i], id)) return (int)i;
    return -1;
}

/* ---- what must never be ---- */

static bool is_same(const char *text, struct mn_span span)
{
    return span.size == strlen(text) && memcmp(text, span.data, span.size) == 0;
}

static bool is_skewed(const struct sim *sim, uint64_t deadline_ms)
{
    uint64_t now_ms = mn_wall_ms(sim_now(sim)), bound = SKEW / MN_MS;

    return deadline_ms + bound < now_ms || deadline_ms > now_ms + bound;
}

/* The one that is looked at, as anybody saw it before. */
static struct item *item_of(struct sim_host *host, struct decisions *all,
                            const struct decision_view *view)
{
    struct item *item = item_find(all, &view->id);
    char id[MN_ID_TEXT_SIZE];

    if (item == NULL && all->count == ITEMS_MAX) return NULL;
    if (item == NULL) {
        item = &all->items[all->count++];
        *item = (struct item){.id = view->id,
                              .deadline_ms = view->deadline_ms,
                              .is_byzantine = view->is_byzantine,
                              .since = host->sim->time,
                              .is_skewed = is_skewed(host->sim, view->deadline_ms)};
        snprintf(item->topic, sizeof item->topic, "%.*s", (int)view->topic.size,
                 (const char *)view->topic.data);
        snprintf(item->value, sizeof item->value, "%.*s", (int)view->value.size,
                 (const char *)view->value.data);
    }
    if (!is_same(item->topic, view->topic) || !is_same(item->value, view->value) ||
        item->deadline_ms != view->deadline_ms || item->is_byzantine != view->is_byzantine)
        sim_fail(host->sim, "%s knows another proposal %s", host->name,
                 mn_id_format(&view->id, id));
    return item;
}

/* Within the window of another one of the topic, whichever of the two it said first. */
static void check_bound(struct decisions *all, const struct item *item, uint32_t voter)
{
    const struct sim_host *host = &all->sim->hosts[voter];

    if (host->has_lost_disk || (all->leapt >> voter & 1) != 0) return;
    for (uint32_t i = 0; i < all->count; i++) {
        const struct item *other = &all->items[i];
        uint64_t a = item->deadline_ms, b = other->deadline_ms;
        if (other->choice[voter] != DECISION_YES || strcmp(other->topic, item->topic) != 0)
            continue;
        if (strcmp(other->value, item->value) == 0) continue;
        if ((a > b ? a - b : b - a) >= DECISION_WINDOW / MN_MS) continue;
        sim_fail(all->sim, "%s said yes to %s and to %s of topic %s", host->name, item->value,
                 other->value, item->topic);
    }
}

static void check_ballot(struct sim_host *host, struct decisions *all, struct item *item,
                         const struct decision_ballot *ballot)
{
    int voter = host_of(all, &ballot->node_id);
    enum decision_choice *seen;

    if (ballot->choice == DECISION_NONE || ballot->choice == DECISION_LATE) return;
    if (voter < 0) {
        sim_fail(host->sim, "%s knows a vote of nobody", host->name);
        return;
    }
    seen = &item->choice[voter];
    if (*seen == ballot->choice) return;
    if (*seen != DECISION_NONE) {
        if (!all->sim->hosts[voter].has_lost_disk)
            sim_fail(host->sim, "%s knows the vote of %s as %s, others as %s", host->name,
                     all->sim->hosts[voter].name, decision_choice_name(ballot->choice),
                     decision_choice_name(*seen));
        return;
    }
    *seen = ballot->choice;
    if (ballot->cause == DECISION_BY_POLICY ||
        (ballot->cause == DECISION_BY_HAND && (item->asked[voter] >> ballot->choice & 1) == 0))
        sim_fail(host->sim, "%s voted %s, which nobody told it", all->sim->hosts[voter].name,
                 decision_choice_name(ballot->choice));
    if (ballot->choice == DECISION_YES) check_bound(all, item, (uint32_t)voter);
}

/* From the definition: yes has the quorum; or without those who said no less than it is left. */
static bool do_votes_make(const struct decision_view *view)
{
    uint64_t total = 0, yes = 0, no = 0;

    for (uint32_t i = 0; i < view->ballots_count; i++) {
        const struct decision_ballot *ballot = &view->ballots[i];
        total += ballot->weight;
        if (ballot->choice == DECISION_YES) yes += ballot->weight;
        if (ballot->choice == DECISION_NO) no += ballot->weight;
    }
    if (view->outcome == DECISION_ACHIEVED)
        return yes * view->quorum_den >= total * view->quorum_num;
    return (total - no) * view->quorum_den < total * view->quorum_num;
}

/* As somebody who has nothing else. */
static void check_certificate(struct sim_host *host, const struct decision_view *view)
{
    mn_id mesh_id = core_self(node_core(host->node)).mesh_id;
    struct mn_buf *proof = decision_certificate(decision_of(host), &view->id);
    struct mn_arena arena = {0};
    struct decision_view read = {0};

    if (proof == NULL || decision_verify(&mesh_id, mn_buf_span(proof), &arena, &read) != MN_OK ||
        read.outcome != view->outcome || !mn_id_equal(&read.id, &view->id))
        sim_fail(host->sim, "the certificate that %s has of %.*s does not stand by itself",
                 host->name, (int)view->topic.size, (const char *)view->topic.data);
    mn_arena_done(&arena);
    mn_buf_unref(proof);
}

/* Voters that lost their disks since may have said two things. Both of two outcomes that votes make
 * need one such voter, both of two that were agreed on more than a third of all. */
static bool may_be_two(const struct decisions *all, const struct item *item,
                       const struct decision_view *view)
{
    uint64_t total = 0, forgetful = 0;

    for (uint32_t i = 0; i < view->ballots_count; i++) {
        int voter = host_of(all, &view->ballots[i].node_id);
        const struct sim_host *host = voter < 0 ? NULL : &all->sim->hosts[voter];
        total += view->ballots[i].weight;
        if (host != NULL && host->has_lost_disk && host->lost_disk_at >= item->since)
            forgetful += view->ballots[i].weight;
    }
    return view->is_byzantine ? 3 * forgetful > total : forgetful > 0;
}

static void check_certified(struct sim_host *host, struct decisions *all, struct item *item,
                            const struct decision_view *view)
{
    char id[MN_ID_TEXT_SIZE];

    if (item->certified != DECISION_OPEN && item->certified != view->outcome &&
        !may_be_two(all, item, view))
        sim_fail(host->sim, "%s has %s of %s certified as %s, others as %s", host->name,
                 item->topic, mn_id_format(&item->id, id), decision_outcome_name(view->outcome),
                 decision_outcome_name(item->certified));
    if (item->certified == DECISION_OPEN) all->kinds[item->is_byzantine]++;
    item->certified = view->outcome;
    if ((view->outcome == DECISION_ACHIEVED || view->outcome == DECISION_REFUSED) &&
        !view->is_byzantine && !do_votes_make(view))
        sim_fail(host->sim, "the votes that %s has do not make %s %s", host->name, item->topic,
                 decision_outcome_name(view->outcome));
    if ((item->verified >> host->index & 1) != 0) return;
    item->verified |= 1u << host->index;
    check_certificate(host, view);
}

static void check_host(struct sim_host *host, struct decisions *all)
{
    const struct decision *decision = decision_of(host);
    struct decision_conviction held;
    struct decision_view view;

    if (host->wall_offset != 0) all->leapt |= 1u << host->index;
    if (decision == NULL) return;
    decision_check(decision);
    for (uint32_t i = 0; decision_at(decision, i, &view) && !all->sim->has_failed; i++) {
        struct item *item = item_of(host, all, &view);
        if (item == NULL) continue;
        for (uint32_t k = 0; k < view.ballots_count; k++)
            check_ballot(host, all, item, &view.ballots[k]);
        if (view.is_certified) check_certified(host, all, item, &view);
    }
    for (uint32_t i = 0; decision_conviction_at(decision, i, &held); i++) {
        int liar = host_of(all, &held.node);
        if (liar < 0 || !all->sim->hosts[liar].has_lost_disk)
            sim_fail(all->sim, "%s holds evidence against %s, which is honest", host->name,
                     liar < 0 ? "nobody" : all->sim->hosts[liar].name);
    }
}

static void look_act(struct sim *sim, void *context)
{
    struct decisions *all = context;

    for (uint32_t i = 0; i < sim->hosts_count; i++)
        check_host(&sim->hosts[i], all);
    sim_at(sim, &all->look, sim->time + LOOK_TIME, look_act, all);
}

/* ---- who proposes, and who votes ---- */

struct question {
    struct decisions *all;
    struct sim_host *host;
    bool is_vote;
};

static bool read_id(struct mn_span text, mn_id *ret)
{
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    const struct json *root;
    bool is_good = json_parse_copy(parser, text, LIMITS, &arena, &root) == MN_OK &&
                   mn_id_parse(json_text(json_find_str(root, "id")), ret) == MN_OK;

    mn_arena_done(&arena);
    json_parser_free(parser);
    return is_good;
}

static void answered(struct sim *sim, void *context, const struct sim_response *response)
{
    struct question *question = context;
    struct decisions *all = question->all;
    struct item *item;
    mn_id id;

    if (response->code != 200) {
        all->refused += !response->is_lost;
    } else if (question->is_vote) {
        all->voted++;
    } else if (read_id(response->message, &id)) {
        check_host(question->host, all); /* it knows it now */
        item = item_find(all, &id);
        if (item != NULL) item->told = question->host;
        if (item == NULL && all->count < ITEMS_MAX)
            sim_fail(sim, "%s does not know what it has just proposed", question->host->name);
    }
    mn_free(question);
}

static void post(struct decisions *all, struct sim_host *host, const char *path, const char *body,
                 bool is_vote)
{
    struct question *question = mn_alloc(sizeof *question);

    *question = (struct question){all, host, is_vote};
    sim_http_ask(host, &(struct sim_request){.verb = "POST",
                                             .path = path,
                                             .is_admin = true,
                                             .body = mn_span_str(body),
                                             .patience = PATIENCE,
                                             .is_steadfast = true,
                                             .on_end = answered,
                                             .context = question});
}

static void propose(struct decisions *all, struct sim_host *host, const char *topic,
                    const char *quorum, uint32_t timeout_ms, bool is_metric, bool is_byzantine)
{
    char body[256];

    snprintf(body, sizeof body,
             "{\"topic\":\"%s\",\"value\":\"v%u\",\"quorum\":%s,\"timeout_ms\":%u,\"weights\":"
             "\"%s\",\"byzantine\":%s}",
             topic, rng_below(&all->sim->rng_keep, 3), quorum, timeout_ms,
             is_metric ? "metric" : "equal", is_byzantine ? "true" : "false");
    post(all, host, "/v1/decisions", body, false);
}

static void propose_act(struct sim *sim, void *context)
{
    static const char *const quorums[] = {"0.51", "0.6", "0.75", "1"};
    struct decisions *all = context;
    struct sim_host *host = sim_pick_ready_host(sim);
    char topic[16];

    snprintf(topic, sizeof topic, "t%u", rng_below(&sim->rng_keep, 4));
    if (host != NULL)
        propose(all, host, topic, quorums[rng_below(&sim->rng_keep, 4)],
                500 + rng_below(&sim->rng_keep, 6000), rng_below(&sim->rng_keep, 2) == 0,
                rng_below(&sim->rng_keep, 3) == 0);
    sim_at(sim, &all->propose, sim->time + 30 * MN_MS + rng_below_u64(&sim->rng_keep, 700 * MN_MS),
           propose_act, all);
}

static void vote(struct decisions *all, struct sim_host *host, const mn_id *id,
                 enum decision_choice choice)
{
    struct item *item = item_find(all, id);
    char path[96], body[32], text[MN_ID_TEXT_SIZE];

    if (item == NULL) return;
    item->asked[host->index] |= 1u << choice;
    snprintf(path, sizeof path, "/v1/decisions/%s/vote", mn_id_format(id, text));
    snprintf(body, sizeof body, "{\"vote\":\"%s\"}", decision_choice_name(choice));
    post(all, host, path, body, true);
}

/* An operator at one node, who may be of another opinion when asked about the same again. */
static void vote_act(struct sim *sim, void *context)
{
    struct decisions *all = context;
    struct sim_host *host = &sim->hosts[rng_below(&sim->rng_keep, sim->hosts_count)];
    const struct decision *decision = decision_of(host);
    struct decision_view view;
    mn_id open[8];
    uint32_t count = 0, dice = rng_below(&sim->rng_keep, 20);

    if (decision != NULL && !host->is_frozen) check_host(host, all);
    for (uint32_t i = 0; decision != NULL && count < 8 && decision_at(decision, i, &view); i++)
        if (view.outcome == DECISION_OPEN && view.is_voter && view.own == DECISION_NONE)
            open[count++] = view.id;
    if (count > 0)
        vote(all, host, &open[rng_below(&sim->rng_keep, count)],
             dice < 15   ? DECISION_YES
             : dice < 18 ? DECISION_NO
                         : DECISION_ABSTAIN);
    sim_at(sim, &all->vote, sim->time + 5 * MN_MS + rng_below(&sim->rng_keep, 100 * MN_MS),
           vote_act, all);
}

/* ---- what must be in the end ---- */

static void run_for(struct decisions *all, mn_time time)
{
    if (!all->sim->has_failed) sim_run_until(all->sim, all->sim->time + time);
}

static void settle(struct decisions *all)
{
    struct sim *sim = all->sim;
    mn_time end = sim->time + sim->options.story->quiet_for;

    while (!sim->has_failed && !sim_is_settled(sim) && sim->time < end)
        sim_run_until(sim, sim->time + 100 * MN_MS);
    if (!sim->has_failed && !sim_is_settled(sim)) sim_check_settled(sim); /* says what is missing */
}

/* For -v: what everybody has of a decision. */
static void print_item(const struct decisions *all, const mn_id *id)
{
    char text[MN_ID_TEXT_SIZE];

    for (uint32_t i = 0; i < all->sim->hosts_count; i++) {
        const struct sim_host *host = &all->sim->hosts[i];
        struct decision_view view;
        printf("%s%s: ", host->name, host->has_lost_disk ? " (lost its disk)" : "");
        if (decision_of(host) == NULL || decision_find(decision_of(host), id, &view) != MN_OK) {
            printf("does not know %s\n", mn_id_format(id, text));
            continue;
        }
        printf("%s%s, own %s, deadline %" PRIu64 ", quorum %u/%u of %" PRIu64 ":",
               decision_outcome_name(view.outcome), view.is_certified ? " (certified)" : "",
               decision_choice_name(view.own), view.deadline_ms, view.quorum_num, view.quorum_den,
               view.total);
        for (uint32_t k = 0; k < view.ballots_count; k++) {
            int voter = host_of(all, &view.ballots[k].node_id);
            printf(" %s=%s/%u", voter < 0 ? "?" : all->sim->hosts[voter].name,
                   decision_choice_name(view.ballots[k].choice), view.ballots[k].weight);
        }
        printf("\n");
    }
}

static void check_over(struct decisions *all, struct sim_host *host)
{
    const struct decision *decision = decision_of(host);
    struct decision_view view;

    if (decision == NULL) {
        sim_fail(all->sim, "%s is no member in the end", host->name);
        return;
    }
    for (uint32_t i = 0; decision_at(decision, i, &view) && !all->sim->has_failed; i++) {
        const struct item *item = item_find(all, &view.id);
        if (item == NULL || item->is_skewed || (all->leapt >> host->index & 1) != 0) continue;
        if (view.outcome == DECISION_OPEN)
            sim_fail(all->sim, "%s still has %.*s open", host->name, (int)view.topic.size,
                     (const char *)view.topic.data);
        if (view.is_byzantine && view.is_voter && !view.is_certified)
            sim_fail(all->sim, "%s has agreed with nobody on %.*s: %s", host->name,
                     (int)view.topic.size, (const char *)view.topic.data,
                     decision_outcome_name(view.outcome));
        if (all->sim->has_failed && all->sim->options.is_verbose) print_item(all, &view.id);
    }
}

static void check_known(struct decisions *all)
{
    uint64_t now_ms = mn_wall_ms(sim_now(all->sim));
    struct decision_view view;
    char id[MN_ID_TEXT_SIZE];

    for (uint32_t i = 0; i < all->count && !all->sim->has_failed; i++) {
        const struct item *item = &all->items[i];
        if (item->told == NULL || item->told->has_lost_disk) continue;
        if (item->deadline_ms + KEPT_FOR / MN_MS < now_ms) continue;
        if (decision_find(decision_of(item->told), &item->id, &view) != MN_OK)
            sim_fail(all->sim, "%s has forgotten %s (%s), which it proposed", item->told->name,
                     mn_id_format(&item->id, id), item->topic);
    }
}

static bool is_achieved(struct decisions *all, const char *topic)
{
    for (uint32_t i = 0; i < all->sim->hosts_count; i++) {
        const struct decision *decision = decision_of(&all->sim->hosts[i]);
        struct decision_view view;
        bool is_there =
            all->sim->hosts[i].has_lost_disk; /* convicted, maybe: then it has no vote */
        for (uint32_t k = 0; decision_at(decision, k, &view); k++)
            is_there = is_there || (is_same(topic, view.topic) && view.is_certified &&
                                    view.outcome == DECISION_ACHIEVED);
        if (!is_there) return false;
    }
    return true;
}

/* Everybody says yes at once. */
static void all_say_yes(struct decisions *all, const char *topic)
{
    for (uint32_t i = 0; i < all->sim->hosts_count; i++) {
        struct sim_host *host = &all->sim->hosts[i];
        struct decision_view view;
        for (uint32_t k = 0; decision_at(decision_of(host), k, &view); k++) {
            if (!is_same(topic, view.topic) || view.own != DECISION_NONE || !view.is_voter ||
                view.outcome != DECISION_OPEN)
                continue;
            check_host(host, all);
            vote(all, host, &view.id, DECISION_YES);
            break; /* the view may be another one by now */
        }
    }
}

static void play_calm(struct decisions *all)
{
    static const struct {
        const char *topic;
        bool is_metric, is_byzantine;
    } kinds[] = {{"calm-equal", false, false},
                 {"calm-metric", true, false},
                 {"calm-agreed", false, true},
                 {"calm-both", true, true}};
    struct sim *sim = all->sim;
    uint32_t sound = 0;

    for (uint32_t i = 0; i < sim->hosts_count; i++)
        sound += !sim->hosts[i].has_lost_disk;
    if (sound < DECISION_VOTERS_MIN) return; /* the others may be convicted by now */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !sim->has_failed; i++) {
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_keep, sim->hosts_count)];
        mn_time end = sim->time + CALM_TIME;
        propose(all, host, kinds[i].topic, "0.75", 5000, kinds[i].is_metric, kinds[i].is_byzantine);
        while (!sim->has_failed && sim->time < end && !is_achieved(all, kinds[i].topic)) {
            sim_run_until(sim, sim->time + LOOK_TIME);
            all_say_yes(all, kinds[i].topic);
        }
        if (!sim->has_failed && !is_achieved(all, kinds[i].topic))
            sim_fail(sim, "all say yes, and %s, proposed at %s, is not decided everywhere",
                     kinds[i].topic, host->name);
    }
}

bool sim_run_decisions(struct sim *sim)
{
    struct decisions *all = mn_alloc(sizeof *all);

    sim->scenario = all;
    all->sim = sim;
    if (sim->hosts_count < DECISION_VOTERS_MIN || sim->hosts_count > HOSTS_MAX) {
        sim_fail(sim, "this scenario takes %u to %u nodes", DECISION_VOTERS_MIN, HOSTS_MAX);
        return false;
    }
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        char text[MN_ID_TEXT_SIZE];
        sim_host_node_id(&sim->hosts[i], text);
        if (mn_id_parse(mn_span_str(text), &all->ids[i]) != MN_OK) return false;
    }
    sim_boot(sim);
    sim_at(sim, &all->look, sim->time + LOOK_TIME, look_act, all);
    propose_act(sim, all);
    vote_act(sim, all);
    if (sim->options.has_faults) sim_plan_start(sim);
    run_for(all, sim->options.story->faults_for);
    sim_plan_stop(sim);
    sim_cancel(sim, &all->propose);
    settle(all);
    run_for(all, PATIENCE); /* what was asked for is answered */
    sim_cancel(sim, &all->vote);
    run_for(all, END_TIME);
    for (uint32_t i = 0; i < sim->hosts_count && !sim->has_failed; i++)
        check_over(all, &sim->hosts[i]);
    if (!sim->has_failed) check_known(all);
    if (!sim->has_failed) play_calm(all);
    run_for(all, PATIENCE);
    sim_cancel(sim, &all->look);
    if (sim->options.is_verbose)
        printf("%u decisions, %" PRIu64 " votes, %" PRIu64 " refused; certified: %" PRIu64
               ", %" PRIu64 " byzantine\n",
               all->count, all->voted, all->refused, all->kinds[0], all->kinds[1]);
    if (!sim->has_failed && (all->kinds[0] == 0 || all->kinds[1] == 0))
        sim_fail(sim, "nothing was decided: nothing was tried");
    return !sim->has_failed;
}
