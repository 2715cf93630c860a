/* bench_link_nats: the same one-way messages through core NATS: one process publishes, another one
 * subscribes, between them a server that runs already.
 * usage: NATS_URL=nats://127.0.0.1:PORT bench_link_nats nats SIZE RATE SECONDS */
#include <nats/nats.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "tests/bench/bench_sink.h"

static const char subject[] = "bench";

/* [is_paced]: what is published leaves at once, without the client's gathering. */
static natsConnection *nats_open(bool is_paced)
{
    const char *url = getenv("NATS_URL");
    natsConnection *connection = NULL;
    natsOptions *options = NULL;
    natsStatus status = natsOptions_Create(&options);

    if (status == NATS_OK)
        status = natsOptions_SetURL(options, url == NULL ? NATS_DEFAULT_URL : url);
    if (status == NATS_OK) status = natsOptions_SetSendAsap(options, is_paced);
    if (status == NATS_OK) status = natsConnection_Connect(&connection, options);
    natsOptions_Destroy(options);
    if (status == NATS_OK) return connection;
    fprintf(stderr, "nats: %s\n", natsStatus_GetText(status));
    exit(EXIT_FAILURE);
}

static void nats_receive(const struct bench_job *job, int to)
{
    natsConnection *connection = nats_open(job->rate > 0);
    natsSubscription *subscription = NULL;
    struct bench_sink sink = {0};

    MN_ASSERT(natsConnection_SubscribeSync(&subscription, connection, subject) == NATS_OK);
    MN_ASSERT(natsSubscription_SetPendingLimits(subscription, -1, -1) == NATS_OK);
    MN_ASSERT(natsConnection_Flush(connection) == NATS_OK);
    if (write(to, "", 1) != 1) exit(EXIT_FAILURE);
    for (bool goes_on = true; goes_on;) {
        natsMsg *message = NULL;
        if (natsSubscription_NextMsg(&message, subscription, 10000) != NATS_OK) break;
        goes_on = bench_sink_take(
            &sink, mn_span(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message)));
        natsMsg_Destroy(message);
    }
    bench_sink_report(&sink, job);
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(connection);
}

static uint64_t nats_send(const struct bench_job *job)
{
    natsConnection *connection = nats_open(job->rate > 0);
    uint8_t *message = mn_alloc(job->size);
    uint64_t begin = bench_now_ns(), count = 0;

    memset(message, 'x', job->size);
    for (bool is_last = false; !is_last;) {
        count++;
        if (job->rate > 0) bench_pace(job, begin, count);
        is_last = (double)(bench_now_ns() - begin) >= job->seconds * 1e9;
        bench_stamp(message, is_last);
        MN_ASSERT(natsConnection_Publish(connection, subject, message, (int)job->size) == NATS_OK);
    }
    natsConnection_FlushTimeout(connection, 60000);
    natsConnection_Destroy(connection);
    mn_free(message);
    return count;
}

int main(int argc, char **argv)
{
    struct bench_job job;
    int ends[2];
    pid_t child;
    char ready;

    if (!bench_job_read(argc, argv, &job)) return 2;
    if (pipe(ends) != 0 || (child = fork()) < 0) return EXIT_FAILURE;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        nats_receive(&job, ends[1]);
        return EXIT_SUCCESS;
    }
    close(ends[1]);
    if (read(ends[0], &ready, 1) != 1) return EXIT_FAILURE;
    return bench_end(child, nats_send(&job));
}
