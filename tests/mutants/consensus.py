#!/usr/bin/env python3
"""Plants known bugs into the consensus cores, one at a time, and counts how many seeds raftsim (or
bftsim, for those whose name begins with bft or decision) needs to notice each. A judge that lets one of
them live is not worth its verdict on the real code.

usage: consensus.py BUILD_DIR [SEEDS] [NAME...] [--shrink DIR]
       consensus.py --fits    whether each of them still fits the source, and nothing else
       (the build must have raftsim and bftsim; default 2000 seeds; NAME: of a mutant, or the beginning of several)

Prints one line per mutant: name, seeds to kill, what was seen. With --shrink also what the failing run
was shortened to, as a story in DIR that the same simulator replays: it fails with the mutant, and holds
without. Exits 1 if a mutant survives or a story does not behave so, 2 if one no longer fits the source."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ["ccache"] if shutil.which("ccache") else []
ELECTION, REPLICATE = "consensus/raft_election.c", "consensus/raft_replicate.c"
QUORUM, READ, RAFT = "consensus/quorum.c", "consensus/raft_read.c", "consensus/raft.c"
RULES, BOOK = "consensus/simplex_rules.c", "consensus/simplex_book.c"
SIMPLEX, WIRE = "consensus/simplex.c", "consensus/simplex_wire.c"
DECISION_BOOK = "consensus/decision_book.c"
CONFIG, SNAPSHOT, KV = "consensus/raft_config.c", "consensus/raft_snapshot.c", "sim/raft/raft_kv.c"

# name: [(file, text that stands there exactly once, what replaces it)]
MUTANTS = {
    "commit-prior-term": [(REPLICATE,
        "    if (!raft_log_matches(&raft->log, commit, raft->term)) return;\n", "")],
    "vote-not-synced": [(ELECTION,
        "raft_send(raft, RAFT_MSG_VOTE, &ask->from, raft_save(raft));",
        "(raft_save(raft), raft_send(raft, RAFT_MSG_VOTE, &ask->from, 0));")],
    "append-ack-not-synced": [(REPLICATE,
        "raft_send(raft, type, &ask->from, raft_save(raft));",
        "(raft_save(raft), raft_send(raft, type, &ask->from, 0));")],
    "sync-is-no-op": [(RAFT,
        "return raft->write_last > raft->write_durable ? raft->write_last : 0;", "return 0;")],
    "leader-counts-unsynced": [(REPLICATE,
        "                        ? raft->log.synced\n", "                        ? raft_log_last(&raft->log)\n")],
    "stale-completion-counts": [(RAFT,
        "if (mark->generation != raft->log.generation ||\n"
        "        !raft_log_matches(&raft->log, mark->index, mark->term)) {",
        "if (mark->index > raft_log_last(&raft->log)) {")],
    "pre-vote-counts-as-vote": [
        (ELECTION, "enum raft_role role = msg->is_pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE;",
         "enum raft_role role = msg->is_pre && raft->role != RAFT_CANDIDATE ? RAFT_PRE_CANDIDATE\n"
         ": RAFT_CANDIDATE;"),
        (ELECTION, "uint64_t asked = raft->term + is_pre_grant;",
         "uint64_t asked = raft->term + (is_pre_grant && raft->role != RAFT_CANDIDATE);")],
    "vote-for-older-log": [(ELECTION,
        "    return msg->index >= raft_log_last(&raft->log);", "    return true;")],
    "vote-twice": [(ELECTION,
        "(mn_id_is_zero(&raft->vote) || mn_id_equal(&raft->vote, &msg->from)) &&", "")],
    "weights-as-counts": [(QUORUM,
        "sum += quorum_weight(config, i, half);", "sum += quorum_weight(config, i, half) != 0;")],
    "half-is-quorum": [(QUORUM, "return 2 * sum > total;", "return 2 * sum >= total;")],
    "one-step-of-three": [(QUORUM, "if (changed <= 1) return true;",
        "if (changed <= 3) return true;")],
    "joint-new-half-only": [(QUORUM,
        "for (*ret = QUORUM_NEW; *ret <= QUORUM_OLD; ++*ret)",
        "for (*ret = QUORUM_NEW; *ret < QUORUM_OLD; ++*ret)")],
    "truncation-keeps-config": [(REPLICATE, "        raft_config_refresh(raft);\n", "")],
    "snapshot-over-newer-config": [(SNAPSHOT, "    raft_config_refresh(raft);\n",
        "    raft->members = snapshot.config;\n    raft->members_index = snapshot.index;\n")],
    "change-before-first-commit": [
        (CONFIG, "    if (raft->commit < raft->term_start) return MN_NOT_YET;", "    "),
        (CONFIG, "|| raft->commit < raft->members_index) return MN_BUSY;", ") return MN_BUSY;")],
    "read-before-first-commit": [(READ,
        "    if (raft->commit < raft->term_start) {\n        read->state = RAFT_READ_EARLY;\n"
        "        return;\n    }\n", "")],
    "read-not-confirmed": [(READ, "(quorum_ctx >= read->ctx || raft_read_has_lease(raft))",
        "(quorum_ctx >= read->ctx || raft->role == RAFT_LEADER)")],
    "lease-from-receive-time": [(READ,
        "    mn_time start = raft_replicate_quorum_ctx(raft);\n",
        "    uint64_t heard[QUORUM_MEMBERS_MAX] = {0};\n"
        "    for (uint32_t i = 0; i < raft->members.members_count; i++)\n"
        "        heard[i] = raft_is_self(raft, i) ? UINT64_MAX : raft->peers[i].heard;\n"
        "    mn_time start = quorum_commit(&raft->members, heard);\n")],
    "timers-by-wall-clock": [(RAFT,
        "    MN_ASSERT(now.mono >= raft->now.mono);\n    raft->now = now;\n",
        "    now.mono = now.wall - 1700000000 * MN_SEC; /* as long as it does not leap */\n"
        "    raft->now = now;\n")],
    "rot-is-torn": [(RAFT,
        "    return offset < synced || has_valid_after ?", "    return has_valid_after ?")],
    "wounded-node-counts": [(REPLICATE,
        "    return peer->heal == 0 ? value : 0;", "    return value;")],
    "healed-before-a-quorum": [(REPLICATE,
        "    if (match < msg->heal_index || msg->commit < msg->heal_index) return;",
        "    if (match < msg->heal_index) return;")],
    "wounded-node-believes-heartbeats": [(REPLICATE,
        "    if (!raft->is_wounded) raft_replicate_commit_to(raft, msg->commit);",
        "    raft_replicate_commit_to(raft, msg->commit);")],
    "lease-survives-transfer": [(CONFIG, "    raft->is_lease_void = true;\n", "")],
    "wounded-node-votes": [
        (ELECTION, "    if (raft->is_wounded) {", "    if (false) {"),
        (RAFT, "return !raft->is_wounded && quorum_is_voter", "return quorum_is_voter"),
        (RAFT, "    if (raft->is_wounded) MN_ASSERT(raft->role == RAFT_FOLLOWER);\n", ""),
        (RAFT, "!raft->is_wounded && raft->term_start", "raft->term_start")],
    "dedup-lost-in-snapshot": [(KV,
        "        memcpy(kv, snapshot->data->bytes, sizeof *kv);\n",
        "        memcpy(kv, snapshot->data->bytes, sizeof *kv);\n"
        "    memset(kv->sessions, 0, sizeof kv->sessions);\n")],

    "bft-quorum-is-majority": [
        (SIMPLEX, "    return 2 * total / 3 + 1;", "    return total / 2 + 1;"),
        (SIMPLEX, "    MN_ASSERT(simplex->quorum * 3 > 2 * simplex->total && "
                  "simplex->quorum <= simplex->total);\n", "")],
    "bft-final-after-dummy": [
        (RULES, "    if (at->is_dummied) {\n", "    if (false) {\n"),
        (SIMPLEX, "        if (at != NULL) MN_ASSERT(!(at->is_finaled && at->is_dummied));\n",
         "        (void)at;\n")],
    "bft-dummy-certificates-unchecked": [(RULES,
        "        if (!simplex_book_has(simplex, i, SIMPLEX_DUMMY)) return false;\n", "        ;\n")],
    "bft-parent-unchecked": [(RULES,
        "        if (parent == NULL || !simplex_hash_equal(&parent->hash, &block->parent_hash)) "
        "return false;\n", "        if (parent == NULL) return true;\n")],
    "bft-child-changes-value": [
        (RULES, "        if (!simplex_hash_equal(&parent->value_hash, &block->value_hash)) "
                "return false;\n", ""),
        ("sim/bft/bft_simplex_liars.c", "        block->value_hash = parent->block.value_hash;\n",
         "        block->value_hash = simplex_value_hash(mn_span_str(\"v\"));\n")],
    "bft-words-forgotten": [(RULES,
        "    if (statement->signer != simplex->config.self) return;\n    at =",
        "    return;\n    at =")],
    "bft-said-before-durable": [(RULES,
        "    pending->write = simplex_persist(simplex, draft);\n}\n\n/* What",
        "    pending->write = simplex_persist(simplex, draft);\n"
        "    struct simplex_draft early;\n    simplex_draft_init(&early, simplex);\n"
        "    simplex_draft_statement(&early, &statement);\n"
        "    simplex_send(simplex, SIMPLEX_ALL, &early);\n}\n\n/* What")],
    "bft-votes-twice": [(BOOK, "    at->proposals[at->proposals_count++] = *block;\n",
        "    at->proposals[at->proposals_count] = at->proposals[0];\n"
        "    at->proposals[0] = *block;\n"
        "    at->proposals_count++;\n"
        "    at->is_voted = false;\n")],
    "bft-signature-unchecked": [(BOOK,
        "    if (!is_checked &&\n        !simplex_statement_is_signed(", "    if (false &&\n"
        "        !simplex_statement_is_signed(")],
    "bft-leader-unchecked": [(BOOK,
        "        !simplex_statement_is_signed(&simplex->config, &simplex->instance, &statement)) {\n"
        "        simplex->dropped++;\n        return;\n    }\n    at =",
        "        false) {\n        simplex->dropped++;\n        return;\n    }\n    at =")],
    "bft-certificate-unchecked": [(BOOK, "    if (weight < simplex->quorum) return false;\n", "")],
    "bft-weights-as-counts": [(BOOK,
        "        if (signers >> i & 1) sum += simplex->config.validators[i].weight;\n",
        "        if (signers >> i & 1) sum += 1;\n")],
    "bft-any-value": [(RULES, "    return value->judgement == SIMPLEX_GOOD;", "    return true;")],
    "bft-vote-and-dummy-convict": [(WIRE,
        "    return (a->kind == SIMPLEX_DUMMY && b->kind == SIMPLEX_FINAL) ||",
        "    return (a->kind == SIMPLEX_DUMMY && b->kind == SIMPLEX_VOTE) ||\n"
        "        (a->kind == SIMPLEX_VOTE && b->kind == SIMPLEX_DUMMY) ||\n"
        "        (a->kind == SIMPLEX_DUMMY && b->kind == SIMPLEX_FINAL) ||")],
    "bft-two-proposals-are-fine": [(BOOK,
        "        simplex_book_evidence(simplex, &before, &statement);\n    }\n    if (at->prop",
        "    }\n    if (at->prop")],
    "bft-nothing-sent-again": [(RULES,
        "    simplex->resend_at = mn_time_after(simplex->now.mono, simplex->resend_every);\n"
        "    if (simplex->resend_every <",
        "    simplex->resend_at = MN_TIME_NEVER;\n    return;\n"
        "    if (simplex->resend_every <")],
    "bft-nobody-helped": [(RULES, "    if (simplex->now.mono < simplex->helped_at[from]) return;\n",
        "    return;\n")],
    "bft-restored-votes": [("sim/bft/bft_simplex.c",
        "    config.abstains = host->is_restored || host->is_liar;",
        "    config.abstains = host->is_liar;")],
    "bft-certificate-not-kept": [(RULES,
        "    simplex_draft_certificate(&draft, simplex, simplex->iteration, SIMPLEX_VOTE);\n"
        "    rules_say(", "    rules_say("),
        (RULES, "    simplex_draft_certificate(&draft, simplex, simplex->iteration, kind);\n"
         "    simplex_persist(simplex, &draft);\n",
         "    simplex_persist(simplex, &draft);\n")],
    "decision-objects-at-once": [("consensus/decision_vote.c",
        "return objection != 0 && decision->now.mono - item->doubted_since < decision->config.patience;",
        "return false;")],
    "decision-keeps-what-it-heard": [("consensus/decision_agree.c",
        "        item->votes[i].body = mn_buf_unref(item->votes[i].body);\n        proposal->voters[i] = ballots[i];",
        "        if (item->votes[i].body != NULL) {\n            next += ballots[i].choice != DECISION_NONE;\n            continue;\n        }\n        proposal->voters[i] = ballots[i];")],
    "decision-later-cause-shown": [(DECISION_BOOK,
        "        return; /* the first one counts */", "        ballot->cause = vote->cause;\n        return;")],
}


def fits(tree, changes):
    """False when a text does not stand there exactly once any more."""
    found = [(name, old, (tree / name).read_text().count(old)) for name, old, _ in changes]
    for name, old, count in found:
        if count != 1:
            print(f"{name}: found {count} times: {old.strip()!r}")
    return all(count == 1 for _, _, count in found)


def plant(tree, changes):
    """False when they do not fit."""
    if not fits(tree, changes):
        return False
    for name, old, new in changes:
        path = tree / name
        path.write_text(path.read_text().replace(old, new))
    return True


def compile_one(tree, libs, name):
    """The object of one source below [tree]."""
    target = tree / name.replace("/", "_").replace(".c", ".o")
    subprocess.run([*CACHE, "cc", "-std=gnu17", "-O2", "-w", "-D_GNU_SOURCE", f"-I{tree}", f"-I{libs}/pb",
                    f"-I{ROOT}", "-c", str(tree / name), "-o", str(target)], check=True)
    return target


def build(tree, libs, world, changed, target):
    """A program out of what was built, but for the sources that were changed in [tree]."""
    own = libs / "sim" / "CMakeFiles" / f"{world}sim.dir"
    objects = [compile_one(tree, libs, name) for name in sorted(changed)]
    objects += [path for path in sorted(own.rglob("*.o"))
                if f"sim/{path.relative_to(own)}".removesuffix(".o") not in changed]
    archives = ["sim/libsimcampaign.a", "consensus/libmn_consensus.a", "crypto/libmn_crypto.a",
                "proto/libmn_proto.a", "proto/libmn_base.a"]
    subprocess.run(["cc", *map(str, objects), *[str(libs / name) for name in archives], "-lprotobuf-c",
                    *["-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc"] * (world == "raft"),
                    "-lsodium", "-o", str(target)], check=True)


def hunt(name, program, seeds):
    """(the seed that saw it, what it saw), or None."""
    command = [program, "--seeds", f"1..{seeds}"] + ["--decide"] * name.startswith("decision")
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=900)
    except subprocess.TimeoutExpired:
        return "-", "hangs"
    found = re.search(r"FAILED seed (\d+)[^:]*: (.*)", run.stdout)
    if found is None:
        return None
    asserted = re.search(r"assertion failed: (.*)", run.stderr)
    return found[1], asserted[0] if asserted else found[2]


def shorten(name, program, healthy, seed, directory):
    """What the failing run was shortened to, as text; ends with what is wrong with it."""
    story = pathlib.Path(directory) / f"{name}.story"
    told = ["--decide"] * name.startswith("decision")
    run = subprocess.run([program, *told, "--seed", seed, "--shrink", story], capture_output=True, text=True)
    found = re.search(r"in (\d+) attempts from (\d+) decisions to (\d+), on (\d+) hosts, ([\d.]+) s", run.stdout)
    if found is None:
        return None
    again = subprocess.run([program, *told, "--replay", story], capture_output=True, text=True)
    held = subprocess.run([healthy, *told, "--replay", story], capture_output=True, text=True)
    if again.returncode != 1 or held.returncode != 0:
        return None
    return f"{found[2]} decisions to {found[3]}, {found[4]} hosts, {found[5]} s"


def main():
    arguments = sys.argv[1:]
    stories = None
    if arguments == ["--fits"]:
        return 0 if all([fits(ROOT, changes) for changes in MUTANTS.values()]) else 2
    if "--shrink" in arguments:
        at = arguments.index("--shrink")
        stories = arguments[at + 1]
        del arguments[at:at + 2]
    if not arguments:
        print(__doc__)
        return 2
    libs = pathlib.Path(arguments[0]).resolve()
    seeds = int(arguments[1]) if len(arguments) > 1 else 2000
    names = [name for name in MUTANTS if any(name.startswith(n) for n in arguments[2:] or [""])]
    alive = 0
    print(f"| {'mutant':32} | seeds | seen as |\n|{'-' * 34}|-------|---------|", flush=True)
    for name in names:
        with tempfile.TemporaryDirectory() as directory:
            tree = pathlib.Path(directory)
            for folder in ("consensus", "sim"):
                shutil.copytree(ROOT / folder, tree / folder)
            if not plant(tree, MUTANTS[name]):
                return 2
            world = "bft" if name.startswith(("bft", "decision")) else "raft"
            program = tree / f"{world}sim"
            build(tree, libs, world, {change[0] for change in MUTANTS[name]}, program)
            seen = hunt(name, program, seeds)
            alive += seen is None
            seed, what = seen or ("alive", f"not in {seeds} seeds")
            if stories is not None and seen is not None and seed != "-":
                short = shorten(name, program, libs / "bin" / program.name, seed, stories)
                alive += short is None
                what = f"{what[:60]}; {short or 'NOT SHORTENED'}"
        print(f"| {name:32} | {seed:>5} | {what[:130]} |", flush=True)
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
