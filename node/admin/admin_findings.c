/* What is not well, and the next command to try: the one list behind `status`, `check` and
 * `doctor`. */
#include "node/admin/admin_internal.h"

#define FINDINGS_MAX 64              /* of one answer */
#define NAMES_SHOWN 5                /* members named in one finding */
#define CLAIMS_SHOWN 8               /* names of servers that others claim; one finding each */
#define CLOCK_TOLERANCE_MS 5000      /* between two members */
#define EXPIRES_SOON_PART 5          /* the last fifth of a grant's life */
#define BACKUP_MEMBERS 3             /* from here on one issuer is too few */
#define SLOW_START_MS 5000           /* a server that has said nothing for so long hangs */
#define ADVICE_NODES "meshctl nodes" /* where members are seen */

enum finding_level { FINDING_INFO = 0, FINDING_WARNING, FINDING_CRITICAL };

struct finding {
    enum finding_level level;
    enum findings_scope scope; /* NODE or MESH */
    const char *code, *text, *next;
};

struct findings {
    struct admin_request *request;
    struct mn_arena *arena;
    enum findings_scope wanted;
    struct finding items[FINDINGS_MAX];
    uint32_t count;
};

static void find(struct findings *findings, struct finding finding)
{
    if (findings->wanted != FINDINGS_ALL && findings->wanted != finding.scope) return;
    if (findings->count < FINDINGS_MAX) findings->items[findings->count++] = finding;
}

/* ---- this node ---- */

static const char *joining_text(struct findings *findings, const struct core_self *self)
{
    if (self->last_refusal == MESHNODE__TRUST__CODE__CODE_NONE)
        return "it has not joined the mesh yet";
    return mn_arena_format(findings->arena, "it has not joined the mesh yet; last refusal: %s",
                           admission_code_name(self->last_refusal));
}

/* It is not ill, but somebody has to do something, elsewhere: the words say which node this is. */
static void find_waiting(struct findings *findings, const struct core_self *self)
{
    char words[WORDS_TEXT_SIZE];
    words_of(mn_span(self->sign_pk, SIGN_PK_SIZE), words);
    find(findings,
         (struct finding){
             FINDING_WARNING, FINDINGS_NODE, "waits_to_be_let_in",
             "it came without a token, and waits until somebody at an issuer lets it in",
             mn_arena_format(findings->arena, "at an issuer: meshctl nodes approve %s", words)});
}

static void find_state(struct findings *findings, const struct core_self *self)
{
    const struct admin *admin = findings->request->admin;

    if (admin->is_stopping || self->state >= CORE_LEAVING)
        find(findings, (struct finding){FINDING_CRITICAL, FINDINGS_NODE, "stopping",
                                        "this node is stopping", "start it again: meshnode"});
    else if (self->state == CORE_JOINING &&
             self->last_refusal == MESHNODE__TRUST__CODE__CODE_PENDING)
        find_waiting(findings, self);
    else if (self->state == CORE_JOINING)
        find(findings, (struct finding){FINDING_CRITICAL, FINDINGS_NODE, "not_joined",
                                        joining_text(findings, self), "meshctl events"});
    else if (!self->is_ready)
        find(findings,
             (struct finding){FINDING_WARNING, FINDINGS_NODE, "not_ready",
                              "it does not know the whole mesh yet", "meshctl nodes wait --ready"});
}

static void find_grant(struct findings *findings)
{
    const struct grant *grant =
        admission_grant(core_admission(findings->request->admin->config.core));
    uint64_t now_ms = mn_wall_ms(findings->request->now), left_ms;

    if (grant == NULL) return;
    if (grant->not_after_ms <= now_ms) {
        find(findings, (struct finding){FINDING_CRITICAL, FINDINGS_NODE, "grant_expired",
                                        "its grant has ended: links are cut", ADVICE_NODES});
        return;
    }
    left_ms = grant->not_after_ms - now_ms;
    if (left_ms < (grant->not_after_ms - grant->not_before_ms) / EXPIRES_SOON_PART)
        find(findings,
             (struct finding){FINDING_WARNING, FINDINGS_NODE, "grant_expires",
                              mn_arena_format(findings->arena,
                                              "its grant ends in %llu h and was not renewed: is "
                                              "an issuer alive?",
                                              (unsigned long long)(left_ms / 3600000)),
                              ADVICE_NODES});
}

static void find_own_clock(struct findings *findings)
{
    int64_t off = admission_clock_off_ms(core_admission(findings->request->admin->config.core));

    if (off == 0) return;
    find(findings,
         (struct finding){FINDING_CRITICAL, FINDINGS_NODE, "clock_alarm",
                          mn_arena_format(findings->arena,
                                          "its clock is %lld s %s most members': it signs nothing",
                                          (long long)(off < 0 ? -off : off) / 1000,
                                          off < 0 ? "ahead of" : "behind"),
                          "set the clock: run a time service such as chrony"});
}

/* Who copies this disk, or reads it, owns the mesh for ever; and it is needed once at most. */
static void find_root_key(struct findings *findings, const struct core_self *self)
{
    if (!findings->request->admin->has_root_key || self->is_dev) return;
    find(findings,
         (struct finding){FINDING_WARNING, FINDINGS_MESH, "root_key_here",
                          "the mesh's root key is still in the data directory of this node",
                          "copy DATA/root.key to two safe places elsewhere, then delete it here"});
}

static bool server_is_well(struct mn_span state)
{
    return mn_span_is(state, "ready") || mn_span_is(state, "starting") ||
           mn_span_is(state, "probing") || mn_span_is(state, "stopped");
}

static bool server_is_slow(const struct json *server, struct mn_span state)
{
    int64_t since = 0;

    return (mn_span_is(state, "starting") || mn_span_is(state, "probing")) &&
           json_i64(json_find_str(server, "since_ms"), &since) == MN_OK && since >= SLOW_START_MS;
}

static void find_server(struct findings *findings, const struct json *server)
{
    struct mn_span name = json_text(json_find_str(server, "name"));
    struct mn_span state = json_text(json_find_str(server, "state"));
    struct mn_span error = json_text(json_find_str(server, "error"));
    struct mn_span lists_error = json_text(json_find_str(server, "lists_error"));
    struct finding finding = {.scope = FINDINGS_NODE,
                              .next = mn_arena_format(findings->arena, "meshctl servers logs %.*s",
                                                      (int)name.size, (const char *)name.data)};

    if (server_is_slow(server, state)) {
        finding.level = FINDING_WARNING;
        finding.code = "server_slow";
        finding.text =
            mn_arena_format(findings->arena, "server %.*s was started, but has not answered yet",
                            (int)name.size, (const char *)name.data);
    } else if (!server_is_well(state)) {
        finding.level = FINDING_WARNING;
        finding.code = "server_down";
        finding.text =
            mn_arena_format(findings->arena, "server %.*s does not run (%.*s): %.*s",
                            (int)name.size, (const char *)name.data, (int)state.size,
                            (const char *)state.data, (int)error.size, (const char *)error.data);
    } else if (lists_error.size > 0) {
        finding.level = FINDING_INFO;
        finding.code = "server_lists";
        finding.text = mn_arena_format(findings->arena, "of server %.*s, %.*s", (int)name.size,
                                       (const char *)name.data, (int)lists_error.size,
                                       (const char *)lists_error.data);
    } else {
        return;
    }
    find(findings, finding);
}

static void find_servers(struct findings *findings, const struct json *counts)
{
    const struct json *servers = json_find_str(counts, "servers");

    if (!json_is(servers, JSON_ARRAY)) return;
    for (const struct json *item = json_first(servers); item != NULL;
         item = json_next(servers, item))
        find_server(findings, admin_parse(findings->request, item->raw, JSON_OBJECT, 1));
}

static void find_held_tools(struct findings *findings, const struct json *counts)
{
    int64_t held = 0;

    if (json_i64(json_find_str(counts, "held"), &held) != MN_OK || held <= 0) return;
    find(findings,
         (struct finding){
             FINDING_WARNING, FINDINGS_MESH, "tools_held",
             mn_arena_format(findings->arena,
                             "%lld %s held back: in quarantine, or not defined as approved",
                             (long long)held, held == 1 ? "tool is" : "tools are"),
             "meshctl tools pins; tools approve TOOL"});
}

static void find_no_tools(struct findings *findings, const struct json *counts)
{
    int64_t listed = 0;

    if (json_i64(json_find_str(counts, "listed"), &listed) != MN_OK || listed > 0) return;
    find(findings,
         (struct finding){FINDING_INFO, FINDINGS_NODE, "no_tools", "the mesh has no tools yet",
                          "meshctl servers add NAME -- COMMAND ARGS..."});
}

/* ---- the members ---- */

/* "n2, n3 and 4 more" */
struct names {
    const char *text;
    uint32_t count;
};

static void names_add(struct findings *findings, struct names *names, const struct member *member)
{
    if (names->count++ >= NAMES_SHOWN) return;
    names->text = mn_arena_format(findings->arena, "%s%s%s", names->count == 1 ? "" : names->text,
                                  names->count == 1 ? "" : ", ", member->record->grant.name);
}

static void find_names(struct findings *findings, const struct names *names, const char *code,
                       const char *one, const char *many, const char *next)
{
    if (names->count == 0) return;
    find(findings,
         (struct finding){
             FINDING_WARNING, FINDINGS_MESH, code,
             names->count > NAMES_SHOWN
                 ? mn_arena_format(findings->arena, "%u members %s: %s and %u more", names->count,
                                   many, names->text, names->count - NAMES_SHOWN)
             : names->count == 1
                 ? mn_arena_format(findings->arena, "member %s %s", names->text, one)
                 : mn_arena_format(findings->arena, "members %s %s", names->text, many),
             next});
}

static void find_clock(struct findings *findings, const struct peers_link *link)
{
    int64_t difference = link->wall_difference_ms;

    if (difference <= CLOCK_TOLERANCE_MS && difference >= -CLOCK_TOLERANCE_MS) return;
    find(findings, (struct finding){
                       FINDING_WARNING, FINDINGS_MESH, "clock",
                       mn_arena_format(findings->arena, "the clock of %s is %lld ms %s", link->name,
                                       (long long)(difference < 0 ? -difference : difference),
                                       difference < 0 ? "behind" : "ahead"),
                       "run a time service such as chrony on both hosts"});
}

static void find_members(struct findings *findings, const struct membership *membership,
                         const struct core *core)
{
    struct names suspect = {0}, dead = {0}, unlinked = {0}, conflicted = {0};
    const struct member *member = NULL;

    while ((member = membership_next(membership, member)) != NULL) {
        const struct peers_link *link = peers_find(core_peers(core), &member->node_id);
        if (member->is_conflicted) names_add(findings, &conflicted, member);
        if (member->status == MEMBER_SUSPECT) names_add(findings, &suspect, member);
        if (member->status == MEMBER_DEAD) names_add(findings, &dead, member);
        if (member->is_self || member->status != MEMBER_ALIVE) continue;
        if (link == NULL)
            names_add(findings, &unlinked, member);
        else
            find_clock(findings, link);
    }
    find_names(findings, &suspect, "suspects", "does not answer", "do not answer", ADVICE_NODES);
    find_names(findings, &dead, "dead_members", "is dead", "are dead", ADVICE_NODES);
    find_names(findings, &unlinked, "no_link", "is alive, but there is no link to it",
               "are alive, but there are no links to them",
               "meshctl nodes -o wide: is a firewall between the hosts?");
    find_names(findings, &conflicted, "identity_in_use", "has a key that two processes use",
               "have keys that two processes use each",
               "give every node its own data directory, and start it again");
}

/* A server under a name that is another one's: it is reached as NAME.NODE, but whoever attached it
 * may not know. */
static void find_claims(struct findings *findings, const struct core *core)
{
    uint32_t count, shown = 0;
    struct services_name *names = services_names(core_services(core), findings->arena, &count);

    for (uint32_t i = 0; i < count && shown < CLAIMS_SHOWN; i++) {
        struct services_name *name = &names[i];
        const char *claimants, *owner;
        if (admin_name_claimants(name, findings->arena, &claimants) == 0) continue;
        owner = admin_member_name(findings->request, &name->owner->node);
        find(findings,
             (struct finding){
                 FINDING_WARNING, FINDINGS_MESH, "name_claimed",
                 mn_arena_format(findings->arena,
                                 "the server name %.*s is that of node %s%s; known as %s: another "
                                 "server of that name",
                                 (int)name->name.size, (const char *)name->name.data, owner,
                                 name->main_count > 0 ? "" : ", whose server is away", claimants),
                 mn_arena_format(findings->arena,
                                 "give it another name, or free this one: meshctl servers "
                                 "release %.*s",
                                 (int)name->name.size, (const char *)name->name.data)});
        shown++;
    }
}

/* Who may let others in: too few of them, or two truths about who they are. */
static void find_issuers(struct findings *findings, const struct core *core, uint32_t alive)
{
    const struct authority *head = admission_authority(core_admission(core));
    uint32_t live = 0;

    for (uint32_t i = 0; head != NULL && i < head->issuers_count; i++) {
        mn_id node = digest_node_id(head->issuers[i]);
        const struct member *member = membership_find(core_membership(core), &node);
        live += member != NULL && member->status == MEMBER_ALIVE;
    }
    if (head != NULL && head->issuers_count == 1 && alive >= BACKUP_MEMBERS)
        find(findings, (struct finding){FINDING_WARNING, FINDINGS_MESH, "one_issuer",
                                        "only one node can admit others and renew their grants",
                                        "copy its DATA/identity.key to a safe place; two more "
                                        "voters would become issuers"});
    else if (head != NULL && head->issuers_count > 1 && live < 2)
        find(findings, (struct finding){FINDING_WARNING, FINDINGS_MESH, "few_issuers",
                                        "fewer than two of the issuers are alive",
                                        "meshctl keys ls; start them again"});
    if (admission_counts(core_admission(core)).forks > 0)
        find(findings, (struct finding){FINDING_CRITICAL, FINDINGS_MESH, "authority_fork",
                                        "somebody signed two authority documents of one version",
                                        "meshctl events: an issuer's key may be stolen; revoke it "
                                        "with the root key"});
}

/* Of the voters that the group has by what this node knows, too few live to agree on anything. */
static void find_quorum(struct findings *findings)
{
    struct admin_quorum quorum;
    struct raft_view view;

    if (!state_view(findings->request->admin->config.state, &view)) return;
    if (view.config->members_count == 0) return;
    quorum = admin_quorum_of(findings->request, view.config, admin_is_gone);
    if (!quorum.is_lacking) return;
    find(findings,
         (struct finding){FINDING_CRITICAL, FINDINGS_MESH, "no_quorum",
                          mn_arena_format(findings->arena,
                                          "the mesh can agree on nothing: weight %llu of %llu of "
                                          "the voters is here; gone: %s",
                                          (unsigned long long)quorum.here,
                                          (unsigned long long)quorum.total, quorum.missing),
                          "start these nodes; meshctl consensus status"});
}

static void find_mesh(struct findings *findings, const struct core_self *self)
{
    const struct core *core = findings->request->admin->config.core;
    const struct membership *membership = core_membership(core);
    uint32_t alive, others;

    if (membership == NULL) return;
    find_members(findings, membership, core);
    find_quorum(findings);
    find_claims(findings, core);
    alive = membership_count(membership, MEMBER_ALIVE);
    find_issuers(findings, core, alive);
    others =
        membership_count(membership, MEMBER_SUSPECT) + membership_count(membership, MEMBER_DEAD);
    if (self->is_issuer && alive == 1 && others == 0 && !self->is_dev)
        find(findings,
             (struct finding){FINDING_INFO, FINDINGS_MESH, "alone", "it is the only member",
                              "meshctl token create, and on another host: meshnode "
                              "--join HOST:7000 --token @FILE"});
}

/* ---- writing ---- */

static enum finding_level worst_of(const struct findings *findings)
{
    enum finding_level worst = FINDING_INFO;

    for (uint32_t i = 0; i < findings->count; i++)
        if (findings->items[i].level > worst) worst = findings->items[i].level;
    return worst;
}

void findings_write(struct reply *reply, struct admin_request *request, enum findings_scope scope,
                    const struct json *counts)
{
    static const char *const levels[] = {"info", "warning", "critical"};
    struct findings findings = {
        .request = request, .arena = request->outbox->arena, .wanted = scope};
    struct core_self self = core_self(request->admin->config.core);
    enum finding_level worst;

    find_state(&findings, &self);
    find_grant(&findings);
    find_own_clock(&findings);
    find_servers(&findings, counts);
    find_mesh(&findings, &self);
    find_root_key(&findings, &self);
    find_held_tools(&findings, counts);
    find_no_tools(&findings, counts);
    worst = worst_of(&findings);
    reply_text(reply, "level", worst == FINDING_INFO ? "ok" : levels[worst]);
    reply_array(reply, "findings");
    for (uint32_t i = 0; i < findings.count; i++) {
        reply_object(reply, NULL);
        reply_text(reply, "level", levels[findings.items[i].level]);
        reply_text(reply, "scope", findings.items[i].scope == FINDINGS_NODE ? "node" : "mesh");
        reply_text(reply, "code", findings.items[i].code);
        reply_text(reply, "message", findings.items[i].text);
        reply_text(reply, "next", findings.items[i].next);
        reply_object_end(reply);
    }
    reply_array_end(reply);
}
