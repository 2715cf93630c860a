/* consensus propose, vote, show: signed one-shot decisions. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consensus/decision.h"
#include "node/ctl/ctl.h"
#include "proto/base/text.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define TIMEOUT_DEFAULT 2000       /* ms */
#define GRACE 5000                 /* ms after the deadline: voters ask each other once more */
#define GRACE_BYZANTINE 65000      /* ms: they agree, or give up after a minute */
#define FILE_MAX ((size_t)4 << 20) /* bytes of a decision kept as JSON */

static const struct ctl_column vote_columns[] = {
    {"NODE", "node.name", CTL_AS_TEXT, false}, {"ID", "node.id", CTL_AS_ID, false},
    {"WEIGHT", "weight", CTL_AS_TEXT, false},  {"VOTE", "choice", CTL_AS_TEXT, false},
    {"BY", "cause", CTL_AS_TEXT, false},
};

static const struct ctl_column evidence_columns[] = {
    {"NODE", "node.name", CTL_AS_TEXT, false}, {"ID", "node.id", CTL_AS_ID, false},
    {"LIE", "lie", CTL_AS_TEXT, false},        {"DECISION", "decision", CTL_AS_TEXT, false},
    {"SEEN", "seen", CTL_AS_TIME, false},
};

/* ---- looking at one ---- */

static int print_decision(struct ctl *ctl, const struct json *root)
{
    const struct json *votes = json_find_str(root, "votes");

    if (ctl_wants_json(ctl)) return ctl_print_object(ctl, root);
    fprintf(ctl->out, "%s  %s = %s: %s%s%s\n", ctl_show(ctl, root, "id"),
            ctl_show(ctl, root, "topic"), ctl_show(ctl, root, "value"),
            ctl_colour(ctl, ctl_show(ctl, root, "outcome")), ctl_show(ctl, root, "outcome"),
            ctl_colour_end(ctl));
    fprintf(ctl->out,
            "yes %.0f, no %.0f, abstain %.0f of %.0f; quorum %.4g of the weight; proposed by %s, "
            "deadline %s%s\n",
            ctl_number(root, "yes"), ctl_number(root, "no"), ctl_number(root, "abstain"),
            ctl_number(root, "total"),
            ctl_number(root, "quorum_num") / ctl_number(root, "quorum_den"),
            ctl_show(ctl, root, "proposer.name"), ctl_show(ctl, root, "deadline"),
            !json_is_true(json_find_str(root, "byzantine"))  ? ""
            : json_is_true(json_find_str(root, "certified")) ? "; byzantine: agreed on"
                                                             : "; byzantine: not agreed on");
    if (votes == NULL) return CTL_OK;
    ctl_print_rows(ctl, votes, vote_columns, COUNT(vote_columns));
    return CTL_OK;
}

static bool is_doubtful(const struct json *vote)
{
    struct mn_span cause = ctl_string(vote, "cause");

    return mn_span_is(cause, "bad-voters") || mn_span_is(cause, "bad-weights");
}

/* Who said no, or nothing, because it knows other members than the proposal; NULL: nobody. */
static const char *name_doubtful(struct ctl *ctl, const struct json *root)
{
    const struct json *votes = json_find_str(root, "votes");
    const char *names = NULL;

    if (!json_is(votes, JSON_ARRAY)) return NULL;
    for (const struct json *vote = json_first(votes); vote != NULL; vote = json_next(votes, vote))
        if (is_doubtful(vote))
            names = mn_arena_format(&ctl->arena, "%s%s%s", names == NULL ? "" : names,
                                    names == NULL ? "" : ", ", ctl_show(ctl, vote, "node.name"));
    return names;
}

/* What can be done about it. */
static void advise(struct ctl *ctl, const struct json *root)
{
    const char *id = ctl_show(ctl, root, "id"), *doubtful;

    if (ctl->is_quiet || ctl_wants_json(ctl) || mn_span_is(ctl_string(root, "outcome"), "achieved"))
        return;
    doubtful = name_doubtful(ctl, root);
    if (doubtful != NULL)
        fprintf(
            ctl->err,
            "%s: no yes, for what is known of the members there is not what %s knew. That passes "
            "within seconds after a node joined, died or came back: propose again; if it stays, "
            "compare meshctl nodes at both\n",
            doubtful, ctl_show(ctl, root, "proposer.name"));
    else if (mn_span_is(ctl_string(root, "outcome"), "no-quorum"))
        fprintf(ctl->err,
                "too little weight has voted in time. Members vote by rule, or: meshctl "
                "consensus vote ID yes, on each; propose again with a longer --timeout\n");
    else if (mn_span_is(ctl_string(root, "outcome"), "timeout"))
        fprintf(ctl->err, "neither yes nor no has enough weight: meshctl consensus show %s\n", id);
}

/* What the outcome means to a script. */
static int outcome_exit(const struct json *root)
{
    struct mn_span outcome = ctl_string(root, "outcome");

    if (mn_span_is(outcome, "achieved")) return CTL_OK;
    return mn_span_is(outcome, "refused") ? CTL_CONFLICT : CTL_TIMEOUT;
}

/* ---- verifying, with nothing but the bytes ---- */

static int verify_failed(struct ctl *ctl, const char *why)
{
    return ctl_error(ctl, CTL_FAILED, "not_verified", "meshctl consensus show ID --json",
                     "the certificate does not prove this decision: %s", why);
}

static int verify(struct ctl *ctl, const struct json *root)
{
    struct mn_span hex = ctl_string(root, "certificate");
    uint8_t *bytes = mn_arena_alloc(&ctl->arena, hex.size / 2 + 1);
    struct decision_view view;
    char mesh_text[MN_ID_TEXT_SIZE];
    mn_id mesh;

    if (hex.size == 0 || mn_hex_decode(hex, bytes, hex.size / 2) != MN_OK)
        return verify_failed(ctl, "there is none");
    if (mn_id_parse(ctl_string(root, "mesh"), &mesh) != MN_OK)
        return verify_failed(ctl, "it names no mesh");
    if (decision_verify(&mesh, mn_span(bytes, hex.size / 2), &ctl->arena, &view) != MN_OK)
        return verify_failed(ctl, "a signature or a number in it is wrong");
    if (!ctl_decision_is_as_shown(root, &view))
        return verify_failed(ctl, "it says something else than what is shown");
    if (!ctl->is_quiet)
        fprintf(ctl->err,
                "verified: %s are rightly signed for mesh %s; yes %llu, no %llu of %llu: %s\n",
                view.is_byzantine && view.is_certified
                    ? "proposal, votes, and the agreement of more than two thirds of the weight"
                    : "proposal and every vote",
                mn_id_format(&mesh, mesh_text), (unsigned long long)view.yes,
                (unsigned long long)view.no, (unsigned long long)view.total,
                view.outcome == DECISION_OPEN ? "the votes alone decide nothing"
                                              : decision_outcome_name(view.outcome));
    return CTL_OK;
}

/* A file that --json wrote about something of that kind; CTL_NOT_FOUND without a word: there is
 * none. */
static int read_file(struct ctl *ctl, const char *path, const char *kind, const char *hint,
                     const struct json **ret)
{
    FILE *file = fopen(path, "rb");
    struct mn_writer writer = {0};
    char block[4096];
    size_t got;

    if (file == NULL) return CTL_NOT_FOUND;
    while ((got = fread(block, 1, sizeof block, file)) > 0 && mn_writer_size(&writer) < FILE_MAX)
        mn_writer_add(&writer, mn_span(block, got));
    fclose(file);
    *ret = ctl_parse_json(ctl, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
    if (*ret != NULL && mn_span_is(ctl_string(*ret, "kind"), kind)) return CTL_OK;
    return ctl_error(ctl, CTL_FAILED, "bad_file", hint, "%s is no JSON of kind %s", path, kind);
}

static int no_file(struct ctl *ctl, const char *path, const char *hint)
{
    return ctl_error(ctl, CTL_NOT_FOUND, "not_found", hint, "there is no file %s", path);
}

/* An id, or its beginning, has neither. */
static bool is_path(const char *what)
{
    return strpbrk(what, "/.") != NULL;
}

int ctl_consensus_show(struct ctl *ctl)
{
    static const char hint[] = "meshctl consensus show ID --json > FILE";
    const char *what = ctl->args[0];
    const struct json *root = NULL;
    int status = read_file(ctl, what, "Decision", hint, &root);

    if (status == CTL_NOT_FOUND && is_path(what)) return no_file(ctl, what, hint);
    if (status == CTL_NOT_FOUND)
        status = ctl_get(ctl, ctl_path(ctl, "/v1/decisions/", what, ""), &root);
    if (status == CTL_OK) status = print_decision(ctl, root);
    if (status == CTL_OK && ctl_value(ctl, "--verify") != NULL) status = verify(ctl, root);
    return status;
}

/* ---- evidence ---- */

/* Does each item's proof convict the node that is named, of what is named? */
static int verify_evidence(struct ctl *ctl, const struct json *root)
{
    const struct json *items = json_find_str(root, "items");
    unsigned count = 0;

    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item)) {
        struct mn_span hex = ctl_string(item, "proof");
        uint8_t *bytes = mn_arena_alloc(&ctl->arena, hex.size / 2 + 1);
        struct decision_conviction proven;
        char text[MN_ID_TEXT_SIZE];
        mn_id mesh;
        if (hex.size == 0 || mn_hex_decode(hex, bytes, hex.size / 2) != MN_OK ||
            mn_id_parse(ctl_string(item, "mesh"), &mesh) != MN_OK ||
            decision_verify_evidence(&mesh, mn_span(bytes, hex.size / 2), &proven) != MN_OK ||
            !mn_span_is(ctl_string(json_find_str(item, "node"), "id"),
                        mn_id_format(&proven.node, text)) ||
            !mn_span_is(ctl_string(item, "decision"), mn_id_format(&proven.about, text)) ||
            !mn_span_is(ctl_string(item, "lie"), decision_lie_name(proven.lie)))
            return ctl_error(ctl, CTL_FAILED, "not_verified", "meshctl consensus evidence --json",
                             "a proof does not convict the node that is named");
        count++;
    }
    if (!ctl->is_quiet)
        fprintf(ctl->err, "verified: each of %u signed two words that no honest node says both\n",
                count);
    return CTL_OK;
}

static int evidence_once(struct ctl *ctl)
{
    static const char hint[] = "meshctl consensus evidence --json > FILE";
    const struct json *root = NULL;
    int status;

    if (ctl->args_count > 0) {
        status = read_file(ctl, ctl->args[0], "EvidenceList", hint, &root);
        if (status == CTL_NOT_FOUND) return no_file(ctl, ctl->args[0], hint);
    } else {
        status = ctl_get(ctl, "/v1/evidence", &root);
    }
    if (status == CTL_OK)
        status = ctl_print_list(ctl, root, evidence_columns, COUNT(evidence_columns));
    if (status == CTL_OK && ctl_value(ctl, "--verify") != NULL) status = verify_evidence(ctl, root);
    return status;
}

int ctl_consensus_evidence(struct ctl *ctl)
{
    return ctl_watch(ctl, evidence_once);
}

/* ---- voting by rule ---- */

static const struct ctl_column rule_columns[] = {
    {"HOLDS", "holds", CTL_AS_TEXT, false},
    {"RULE", "rule", CTL_AS_TEXT, false},
};

static const struct ctl_column metric_columns[] = {
    {"METRIC", "name", CTL_AS_TEXT, false},
    {"NOW", "value", CTL_AS_TEXT, false},
    {"WHAT", "about", CTL_AS_TEXT, false},
};

static int policy_once(struct ctl *ctl)
{
    const struct json *root, *rules;
    int status = ctl_get(ctl, "/v1/policy/voting", &root);

    if (status != CTL_OK) return status;
    if (ctl_wants_json(ctl)) return ctl_print_object(ctl, root);
    rules = json_find_str(root, "rules");
    if (json_first(rules) == NULL)
        fprintf(ctl->out, "no rules: this node votes when somebody votes for it "
                          "(meshctl consensus vote, mesh_vote)\n");
    else
        ctl_print_rows(ctl, rules, rule_columns, COUNT(rule_columns));
    ctl_print_rows(ctl, json_find_str(root, "metrics"), metric_columns, COUNT(metric_columns));
    return CTL_OK;
}

int ctl_consensus_policy(struct ctl *ctl)
{
    return ctl_watch(ctl, policy_once);
}

/* ---- proposing and voting ---- */

static struct mn_buf *proposal_json(struct ctl *ctl, uint64_t *ret_timeout)
{
    const char *quorum = ctl_value(ctl, "--quorum");
    const char *weights = ctl_value(ctl, "--weights");
    struct mn_writer writer = {0};
    char *end = NULL;
    double number = quorum == NULL ? 0.75 : strtod(quorum, &end);

    *ret_timeout = ctl->has_timeout ? ctl->timeout_ms : TIMEOUT_DEFAULT;
    ctl->timeout_ms = CTL_TIMEOUT_DEFAULT; /* that one is the decision's, not the request's */
    if (quorum != NULL && (end == quorum || *end != '\0' || !(number > 0.5 && number <= 1))) {
        (void)ctl_error(ctl, CTL_USAGE, "usage",
                        "meshctl consensus propose deploy v2 --quorum 0.75",
                        "--quorum %s: a number above 0.5, at most 1", quorum);
        return NULL;
    }
    mn_writer_str(&writer, "{\"topic\":");
    json_write_string(&writer, mn_span_str(ctl->args[0]));
    mn_writer_str(&writer, ",\"value\":");
    json_write_string(&writer, mn_span_str(ctl->args[1]));
    mn_writer_format(&writer, ",\"quorum\":%.6f,\"timeout_ms\":%llu", number,
                     (unsigned long long)*ret_timeout);
    if (weights != NULL) {
        mn_writer_str(&writer, ",\"weights\":");
        json_write_string(&writer, mn_span_str(weights));
    }
    if (ctl_value(ctl, "--byzantine") != NULL) mn_writer_str(&writer, ",\"byzantine\":true");
    mn_writer_str(&writer, "}");
    return mn_writer_done(&writer);
}

/* Looks again until there is an outcome, or none can come any more. */
static int await_outcome(struct ctl *ctl, const char *id, uint64_t within_ms,
                         const struct json **ret)
{
    const char *path = ctl_path(ctl, "/v1/decisions/", id, "");
    int status;

    for (uint64_t waited = 0;; waited += 50) {
        struct timespec pause = {0, 50 * 1000 * 1000};
        status = ctl_get(ctl, path, ret);
        if (status != CTL_OK || !mn_span_is(ctl_string(*ret, "outcome"), "open")) return status;
        if (waited > within_ms + (ctl_value(ctl, "--byzantine") == NULL ? GRACE : GRACE_BYZANTINE))
            return CTL_OK;
        nanosleep(&pause, NULL);
    }
}

int ctl_consensus_propose(struct ctl *ctl)
{
    uint64_t within_ms;
    struct mn_buf *body = proposal_json(ctl, &within_ms);
    const struct json *root;
    int status;

    if (body == NULL) return CTL_USAGE;
    status = ctl_do(ctl, "POST", "/v1/decisions", mn_buf_span(body), &root);
    mn_buf_unref(body);
    if (status != CTL_OK) return status;
    if (ctl_value(ctl, "--no-wait") == NULL)
        status = await_outcome(ctl, ctl_show(ctl, root, "id"), within_ms, &root);
    if (status == CTL_OK) status = print_decision(ctl, root);
    if (status != CTL_OK || ctl_value(ctl, "--no-wait") != NULL) return status;
    advise(ctl, root);
    return outcome_exit(root);
}

int ctl_consensus_vote(struct ctl *ctl)
{
    const char *path = ctl_path(ctl, "/v1/decisions/", ctl->args[0], "/vote");
    struct mn_writer writer = {0};
    const struct json *root;
    struct mn_buf *body;
    int status;

    mn_writer_str(&writer, "{\"vote\":");
    json_write_string(&writer, mn_span_str(ctl->args[1]));
    mn_writer_str(&writer, "}");
    body = mn_writer_done(&writer);
    status = ctl_do(ctl, "POST", path, mn_buf_span(body), &root);
    mn_buf_unref(body);
    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "this node votes %s on %s = %s", ctl->args[1],
                          ctl_show(ctl, root, "topic"), ctl_show(ctl, root, "value"));
}
