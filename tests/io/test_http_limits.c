/* The HTTP server, over real sockets: what is refused, what is cut, and who may connect. */
#include <arpa/inet.h>
#include <check.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/io/http_side.h"
#include "tests/suite.h"

static void refuse(struct world *w, const struct edge_input *input)
{
    if (input->type == EDGE_IN_HTTP_OPEN) world_http_answer(w, input->id, 413, "too big");
}

START_TEST(early_refusal_of_a_large_body_reaches_the_client)
{
    struct client client;
    world.handle = refuse;
    client_connect(&client, address);
    client_send(&world, &client, POST_HEAD "Content-Length: 99999999\r\n\r\n");
    client_expect(&world, &client, "\r\n\r\ntoo big", 1);
    client_expect_closed(&world, &client);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_BODY, 0), 0);
    client_done(&client);
}
END_TEST

START_TEST(early_refusal_of_a_small_body_keeps_the_connection)
{
    struct client client;
    world.handle = refuse;
    client_connect(&client, address);
    client_send(&world, &client, POST_HEAD "Content-Length: 4\r\n\r\nbo");
    world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 1);
    client_send(&world, &client, "dy" GET);
    client_expect(&world, &client, "\r\n\r\ntoo big", 2);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_BODY, 0), 0);
    client_done(&client);
}
END_TEST

START_TEST(too_large_head_is_refused_here)
{
    struct client client;
    char name[4097];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    world.handle = http_side_echo;
    for (int lines = 2; lines <= 4; lines += 2) { /* over our bound; over libmicrohttpd's memory */
        client_connect(&client, address);
        client_send(&world, &client, "GET / HTTP/1.1\r\nHost: x\r\n");
        for (int i = 0; i < lines; i++) {
            client_send(&world, &client, "X: ");
            client_send(&world, &client, name);
            client_send(&world, &client, "\r\n");
        }
        client_send(&world, &client, "\r\n");
        client_expect(&world, &client, "HTTP/1.1 431 ", 1);
        client_done(&client);
    }
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
}
END_TEST

/* The largest head, in few lines; and the most lines, of a usual size. */
START_TEST(largest_heads_are_served)
{
    static const struct {
        int lines, size;
    } heads[] = {{16, 496}, {HTTP_HEADERS_MAX - 2, 48}};
    struct client client;
    char line[512];

    world.handle = http_side_echo;
    client_connect(&client, address);
    client_send(&world, &client, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < heads[_i].lines; i++) {
        snprintf(line, sizeof line, "X-%02d: %0*d\r\n", i, heads[_i].size, 0);
        client_send(&world, &client, line);
    }
    client_send(&world, &client, "\r\n");
    client_expect(&world, &client, "HTTP/1.1 200 ", 1);
    client_done(&client);
}
END_TEST

START_TEST(too_many_headers_are_refused_here)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        client_send(&world, &client, "X: y\r\n");
    client_send(&world, &client, "\r\n");
    client_expect(&world, &client, "HTTP/1.1 431 ", 1);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
    client_done(&client);
}
END_TEST

/* Whoever stands before us may have taken the other one. */
START_TEST(a_request_with_a_header_twice_ends_its_connection)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 30\r\n\r\n{}",
        "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n"
        "content-type: application/json\r\n\r\n{}",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct client client;
        client_connect(&client, address);
        client_send(&world, &client, requests[i]);
        client_expect(&world, &client, "HTTP/1.1 400 ", 1);
        client_expect_closed(&world, &client);
        client_done(&client);
    }
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
}
END_TEST

START_TEST(garbage_opens_nothing)
{
    static const char *const garbage[] = {
        "\r\n\r\n\r\n\x16\x03\x01 hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n", /* no Host */
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        struct client client;
        client_connect(&client, address);
        client_send(&world, &client, garbage[i]);
        shutdown(client.fd, SHUT_WR);
        client_expect_closed(&world, &client);
        ck_assert_ptr_null(strstr(client.text, " 200 "));
        client_done(&client);
    }
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
}
END_TEST

/* What others may read in another way opens nothing, and the connection ends. */
START_TEST(doubtful_requests_are_refused)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://a@x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://xy/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\n{}",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        "Content-Length: 5\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct client client;
        client_connect(&client, address);
        client_send(&world, &client, requests[i]);
        client_expect(&world, &client, "HTTP/1.1 400 Bad Request\r\n", 1);
        client_expect(&world, &client, "Connection: close\r\n", 1);
        client_expect_closed(&world, &client);
        client_done(&client);
    }
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
}
END_TEST

/* As proxies write it: RFC 9112, section 3.2.2. */
START_TEST(targets_in_absolute_form_are_taken)
{
    static const char *const targets[][2] = {
        {"http://Host.example:80/mcp?a=b", "/mcp?a=b"},
        {"HTTPS://host.example:80", "/"},
        {"/http://host.example:80/", "/http://host.example:80/"}};
    char request[200];
    struct client client;
    const struct edge_input *open;

    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: host.example:80\r\n\r\n",
             targets[_i][0]);
    client_connect(&client, address);
    client_send(&world, &client, request);
    open = world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 1);
    ck_assert(mn_span_is(open->http->target, targets[_i][1]));
    client_done(&client);
}
END_TEST

START_TEST(broken_chunks_end_the_connection)
{
    static const char *const bodies[] = {"x\r\n", "3\nabc", "2\r\nabc\r\n", "\r\n",
                                         "1234567890abcdef0\r\n"};
    for (uint32_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct client client;
        client_connect(&client, address);
        client_send(&world, &client, POST_HEAD "Transfer-Encoding: chunked\r\n\r\n");
        uint64_t id = world_wait(&world, EDGE_IN_HTTP_OPEN, 0, i + 1)->id;
        client_send(&world, &client, bodies[i]);
        world_wait(&world, EDGE_IN_HTTP_GONE, id, 1);
        client_expect_closed(&world, &client);
        client_done(&client);
    }
}
END_TEST

/* The machine must not be able to break a head. */
START_TEST(headers_that_would_end_their_line_are_left_out)
{
    static const struct edge_header headers[] = {
        {{(const uint8_t *)"x-good", 6}, {(const uint8_t *)"1", 1}},
        {{(const uint8_t *)"x-bad", 5}, {(const uint8_t *)"1\r\nx-worse: 2", 13}},
        {{(const uint8_t *)"content-length", 14}, {(const uint8_t *)"99", 2}},
    };
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_do(&world, &(struct edge_output){.type = EDGE_OUT_HTTP_HEAD,
                                           .id = id,
                                           .code = 200,
                                           .headers = headers,
                                           .headers_count = 3});
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "ok", true);
    client_expect(&world, &client, "\r\n\r\nok", 1);
    ck_assert_ptr_nonnull(strstr(client.text, "x-good: 1\r\n"));
    ck_assert_ptr_null(strstr(client.text, "x-worse"));
    ck_assert_ptr_null(strstr(client.text, "99"));
    client_done(&client);
}
END_TEST

START_TEST(slow_head_is_cut)
{
    struct client silent, slow;
    struct http_config config;
    http_side_tear_down();
    http_config_default(&config);
    config.head_timeout = 100 * MN_MS;
    http_side_start(&config);
    client_connect(&silent, address);
    client_connect(&slow, address);
    client_send(&world, &slow, "GET / HTTP/1.1\r\nHo");
    client_expect_closed(&world, &silent);
    client_expect_closed(&world, &slow);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
    client_done(&silent);
    client_done(&slow);
}
END_TEST

START_TEST(slow_body_is_cut_but_not_a_paused_one)
{
    struct client slow, paused;
    struct http_config config;
    http_side_tear_down();
    http_config_default(&config);
    config.head_timeout = 50 * MN_MS;
    http_side_start(&config);
    client_connect(&slow, address);
    client_send(&world, &slow, POST_HEAD "Content-Length: 100\r\n\r\nx");
    uint64_t slow_id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world.handle = http_side_pause_at_open;
    client_connect(&paused, address);
    client_send(&world, &paused, POST_HEAD "Content-Length: 100\r\n\r\nx");
    uint64_t paused_id = world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 2)->id;
    world_wait(&world, EDGE_IN_HTTP_GONE, slow_id, 1);
    world_idle(&world, 100);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_GONE, paused_id), 0);
    client_done(&slow);
    client_done(&paused);
}
END_TEST

START_TEST(idle_connection_is_closed)
{
    struct client client;
    struct http_config config;
    http_side_tear_down();
    http_config_default(&config);
    config.idle_timeout = 100 * MN_MS;
    config.head_timeout = 200 * MN_MS;
    http_side_start(&config);
    world.handle = http_side_echo;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    client_expect(&world, &client, "HTTP/1.1 200 OK", 1);
    client_expect_closed(&world, &client);
    client_done(&client);
}
END_TEST

START_TEST(connections_over_the_limit_are_closed)
{
    struct client clients[4];
    struct http_config config;
    http_side_tear_down();
    http_config_default(&config);
    config.connections_max = 3;
    http_side_start(&config);
    world.handle = http_side_echo;
    for (int i = 0; i < 4; i++)
        client_connect(&clients[i], address);
    client_expect_closed(&world, &clients[3]);
    for (int i = 0; i < 3; i++) {
        client_send(&world, &clients[i], GET);
        client_expect(&world, &clients[i], "HTTP/1.1 200 OK", 1);
    }
    client_done(&clients[0]);
    world_idle(&world, 20);
    client_done(&clients[3]);
    client_connect(&clients[3], address); /* there is room again */
    client_send(&world, &clients[3], GET);
    client_expect(&world, &clients[3], "HTTP/1.1 200 OK", 1);
    for (int i = 1; i < 4; i++)
        client_done(&clients[i]);
}
END_TEST

/* The machine's own address beyond loopback; empty: it has none. */
static void find_own_address(char text[64])
{
    struct ifaddrs *all = NULL;
    text[0] = '\0';
    ck_assert_int_eq(getifaddrs(&all), 0);
    for (const struct ifaddrs *one = all; one != NULL; one = one->ifa_next) {
        if (one->ifa_addr == NULL || one->ifa_addr->sa_family != AF_INET) continue;
        if ((one->ifa_flags & (IFF_LOOPBACK | IFF_UP)) != IFF_UP) continue;
        const struct sockaddr_in *at = (const struct sockaddr_in *)(const void *)one->ifa_addr;
        inet_ntop(AF_INET, &at->sin_addr, text, 64);
    }
    freeifaddrs(all);
}

START_TEST(connections_of_one_address_are_limited_beyond_loopback)
{
    struct client clients[4];
    struct http_config config;
    const char *error = NULL;
    char own[64], bound[HTTP_ADDRESS_SIZE], listen_at[80];
    find_own_address(own);
    if (own[0] == '\0') {
        printf("SKIPPED: no address beyond loopback on this machine\n");
        return;
    }
    http_side_tear_down();
    http_config_default(&config);
    config.connections_per_address = 2;
    http_side_start(&config);
    snprintf(listen_at, sizeof listen_at, "%s:0", own);
    ck_assert_int_eq(http_listen(http, listen_at, bound, &error), MN_OK);
    for (int i = 0; i < 3; i++)
        client_connect(&clients[i], bound);
    client_expect_closed(&world, &clients[2]);
    client_send(&world, &clients[0], GET);
    const struct edge_http_request *request = world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 1)->http;
    ck_assert_uint_gt(request->address.size, 0); /* of our addresses, the one the kernel chose */
    ck_assert(!request->is_loopback);
    client_done(&clients[1]);
    world_idle(&world, 20);
    client_connect(&clients[3], bound); /* there is room again */
    client_send(&world, &clients[3], GET);
    world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 2);
    client_done(&clients[0]);
    client_done(&clients[2]);
    client_done(&clients[3]);
}
END_TEST

START_TEST(accepting_goes_on_after_descriptors_ran_out)
{
    struct rlimit before, low;
    struct client client;
    int fillers[256], count = 0;
    world.handle = http_side_echo;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 200;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    client_connect(&client, address); /* in the backlog: nothing has run yet */
    while (count < 256 && (fillers[count] = dup(0)) >= 0)
        count++;
    world_idle(&world, 20);
    for (int i = 0; i < count; i++)
        close(fillers[i]);
    client_send(&world, &client, GET);
    client_expect(&world, &client, "HTTP/1.1 200 OK", 1);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    client_done(&client);
}
END_TEST

START_TEST(admin_socket_is_private_and_names_its_user)
{
    struct client client;
    struct stat info;
    const char *error = NULL;
    char folder[] = "/tmp/meshnode-test-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/admin.sock", folder);
    ck_assert_int_eq(http_listen_admin(http, path, -1, &error), MN_OK);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0600);

    client_connect_unix(&client, path);
    client_send(&world, &client, GET);
    const struct edge_http_request *request = world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 1)->http;
    ck_assert_int_eq(request->listener, EDGE_LISTENER_ADMIN);
    ck_assert_uint_eq(request->uid, getuid());
    ck_assert_uint_eq(request->address.size, 0);

    ck_assert_int_eq(http_listen_admin(http, path, -1, &error), MN_EXISTS);
    http_close_listeners(http);
    ck_assert_int_ne(stat(path, &info), 0); /* removed */
    rmdir(folder);
    client_done(&client);
}
END_TEST

START_TEST(the_last_places_are_the_administrators)
{
    struct client clients[HTTP_ADMIN_SHARE];
    struct http_config config;
    const char *error = NULL;
    char folder[] = "/tmp/meshnode-test-XXXXXX", path[64];
    http_side_tear_down();
    http_config_default(&config);
    config.connections_max = HTTP_ADMIN_SHARE;
    http_side_start(&config);
    world.handle = http_side_echo;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/admin.sock", folder);
    ck_assert_int_eq(http_listen_admin(http, path, -1, &error), MN_OK);
    for (int i = 0; i < HTTP_ADMIN_SHARE; i++)
        client_connect(&clients[i], address);
    client_expect_closed(&world, &clients[HTTP_ADMIN_SHARE - 1]);
    client_done(&clients[HTTP_ADMIN_SHARE - 1]);
    client_connect_unix(&clients[HTTP_ADMIN_SHARE - 1], path);
    client_send(&world, &clients[HTTP_ADMIN_SHARE - 1], GET);
    client_expect(&world, &clients[HTTP_ADMIN_SHARE - 1], "HTTP/1.1 200 OK", 1);
    for (int i = 0; i < HTTP_ADMIN_SHARE; i++)
        client_done(&clients[i]);
    http_close_listeners(http);
    rmdir(folder);
}
END_TEST

START_TEST(stale_admin_socket_is_replaced)
{
    const char *error = NULL;
    struct stat info;
    char folder[] = "/tmp/meshnode-test-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/admin.sock", folder);
    /* What a killed process leaves: a bound socket's file without the socket. */
    struct http_config config;
    struct world other;
    struct http *killed;
    world_init(&other);
    http_config_default(&config);
    killed = http_new(other.io, &config);
    ck_assert_int_eq(http_listen_admin(killed, path, -1, &error), MN_OK);
    char kept[80];
    snprintf(kept, sizeof kept, "%s.kept", path);
    ck_assert_int_eq(link(path, kept), 0);
    http_close(killed);
    world_done(&other);
    ck_assert_int_eq(rename(kept, path), 0);
    ck_assert_int_eq(http_listen_admin(http, path, (int64_t)getgid(), &error), MN_OK);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0660);
    http_close_listeners(http);
    rmdir(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_limits");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, http_side_set_up, http_side_tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, early_refusal_of_a_large_body_reaches_the_client);
    tcase_add_test(all, early_refusal_of_a_small_body_keeps_the_connection);
    tcase_add_test(all, too_large_head_is_refused_here);
    tcase_add_loop_test(all, largest_heads_are_served, 0, 2);
    tcase_add_test(all, too_many_headers_are_refused_here);
    tcase_add_test(all, a_request_with_a_header_twice_ends_its_connection);
    tcase_add_test(all, garbage_opens_nothing);
    tcase_add_test(all, doubtful_requests_are_refused);
    tcase_add_loop_test(all, targets_in_absolute_form_are_taken, 0, 3);
    tcase_add_test(all, broken_chunks_end_the_connection);
    tcase_add_test(all, headers_that_would_end_their_line_are_left_out);
    tcase_add_test(all, slow_head_is_cut);
    tcase_add_test(all, slow_body_is_cut_but_not_a_paused_one);
    tcase_add_test(all, idle_connection_is_closed);
    tcase_add_test(all, connections_over_the_limit_are_closed);
    tcase_add_test(all, the_last_places_are_the_administrators);
    tcase_add_test(all, connections_of_one_address_are_limited_beyond_loopback);
    tcase_add_test(all, accepting_goes_on_after_descriptors_ran_out);
    tcase_add_test(all, admin_socket_is_private_and_names_its_user);
    tcase_add_test(all, stale_admin_socket_is_replaced);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
