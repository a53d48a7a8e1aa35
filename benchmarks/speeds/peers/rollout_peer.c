/* The closed-loop rollout as one would write it in C: what benchmarks/speeds/rollout.py measures ours beside.
 *
 * Plain C11 with POSIX threads and the C library's sine and cosine; one episode after another, no
 * intrinsics. Physics, task and random numbers are those of PhysCartPole-v0, so for equal arguments both
 * play the same episodes, up to the last bit of a sine.
 *
 * Arguments: episodes threads key K D noise rounds
 * With rounds = 0 it runs one round for each line on standard input, until that ends.
 */
#define _POSIX_C_SOURCE 200809L

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_EPISODE_STEPS = 500, MAX_THREADS = 256, OBSERVATION_SIZE = 4 };
enum { START = 0, ACTION = 1 }; /* purposes of random numbers */

static const double PI = 3.14159265358979323846;
static const double GRAVITY = 9.8;     /* m/s^2 */
static const double TOTAL_MASS = 1.1;  /* kg */
static const double POLE_MASS = 0.1;   /* kg */
static const double HALF_LENGTH = 0.5; /* m */
static const double FORCE_MAG = 10.0;  /* N */
static const double TIME_STEP = 0.02;  /* s */
static const double X_THRESHOLD = 2.4; /* m */
static const double START_BOUND = 0.05;

typedef struct {
    uint64_t key;
    double proportional, derivative, noise; /* of the policy: K, D and the size of its noise */
} Setting;

typedef struct {
    double x, x_dot, theta, theta_dot;
} State;

typedef struct {
    float *observations; /* (rows, 4) */
    float *actions, *rewards;
    uint8_t *terminals, *timeouts;
} Rows;

/* What one thread does: a range of episodes, with rows of its own to write them to. */
typedef struct {
    const Setting *setting;
    int64_t first_episode, episodes;
    Rows rows;
    int64_t rows_written, fallen;
} Share;

/* Philox4x32-10 of the counter (episode, step, purpose); words become numbers inside (0, 1). */
static void uniforms(uint64_t key, uint64_t episode, uint32_t step, uint32_t purpose, double numbers[4]) {
    uint32_t c0 = (uint32_t)episode, c1 = (uint32_t)(episode >> 32), c2 = step, c3 = purpose;
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t product_0 = (uint64_t)0xD2511F53u * c0;
        uint64_t product_1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(product_1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product_1;
        c2 = (uint32_t)(product_0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product_0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    numbers[0] = (c0 + 0.5) * 0x1p-32;
    numbers[1] = (c1 + 0.5) * 0x1p-32;
    numbers[2] = (c2 + 0.5) * 0x1p-32;
    numbers[3] = (c3 + 0.5) * 0x1p-32;
}

/* One time step of semi-implicit Euler under a force in newtons. */
static State advance(State s, double force) {
    const double mass_length = POLE_MASS * HALF_LENGTH, inverse_total_mass = 1.0 / TOTAL_MASS;
    double sine = sin(s.theta), cosine = cos(s.theta);
    double pushed = (force + mass_length * s.theta_dot * s.theta_dot * sine) * inverse_total_mass;
    double torque = GRAVITY * sine - pushed * cosine;
    double effective_length = (4.0 / 3.0) * HALF_LENGTH - mass_length * cosine * cosine * inverse_total_mass;
    double theta_acceleration = torque / effective_length;
    double x_acceleration = pushed - mass_length * theta_acceleration * cosine * inverse_total_mass;
    s.x_dot += TIME_STEP * x_acceleration;
    s.theta_dot += TIME_STEP * theta_acceleration;
    s.x += TIME_STEP * s.x_dot;
    s.theta += TIME_STEP * s.theta_dot;
    return s;
}

/* The policy sees float32 and its action is rounded to float32. */
static float choose(const Setting *setting, const float *observation, double random) {
    double u = setting->proportional * observation[2] + setting->derivative * observation[3];
    u += setting->noise * (2.0 * random - 1.0);
    return (float)(u < -1.0 ? -1.0 : (u > 1.0 ? 1.0 : u));
}

/* Play one episode into the rows from `row` on; returns its length. */
static int64_t play(const Setting *setting, uint64_t episode, const Rows *rows, int64_t row, bool *fell) {
    const double theta_threshold = 12.0 * 2.0 * PI / 360.0;
    double start[4], random[4] = {0.5, 0.5, 0.5, 0.5};
    uniforms(setting->key, episode, 0, START, start);
    const double span = 2.0 * START_BOUND;
    State s = {span * start[0] - START_BOUND, span * start[1] - START_BOUND, span * start[2] - START_BOUND,
               span * start[3] - START_BOUND};
    int64_t step = 0;
    *fell = false;
    for (; step < MAX_EPISODE_STEPS && !*fell; step++, row++) {
        if (setting->noise != 0.0)
            uniforms(setting->key, episode, (uint32_t)step, ACTION, random);
        float *observation = rows->observations + OBSERVATION_SIZE * row;
        observation[0] = (float)s.x;
        observation[1] = (float)s.x_dot;
        observation[2] = (float)s.theta;
        observation[3] = (float)s.theta_dot;
        float action = choose(setting, observation, random[0]);
        s = advance(s, action * FORCE_MAG);
        *fell = fabs(s.x) > X_THRESHOLD || fabs(s.theta) > theta_threshold;
        rows->actions[row] = action;
        rows->rewards[row] = 1.0f;
        rows->terminals[row] = *fell;
        rows->timeouts[row] = !*fell && step + 1 == MAX_EPISODE_STEPS;
    }
    return step;
}

static void *play_share(void *argument) {
    Share *share = argument;
    share->rows_written = share->fallen = 0;
    for (int64_t i = 0; i < share->episodes; i++) {
        bool fell;
        share->rows_written += play(share->setting, (uint64_t)(share->first_episode + i), &share->rows,
                                    share->rows_written, &fell);
        share->fallen += fell;
    }
    return NULL;
}

static void *allocate(size_t size) {
    void *memory = malloc(size);
    if (memory == NULL) {
        fprintf(stderr, "error: no memory for %zu bytes\n", size);
        exit(1);
    }
    return memory;
}

/* Split the episodes over the threads and allocate the rows of each. */
static void prepare(Share *shares, int threads, int64_t episodes, const Setting *setting) {
    for (int i = 0; i < threads; i++) {
        Share *share = &shares[i];
        share->setting = setting;
        share->first_episode = episodes * i / threads;
        share->episodes = episodes * (i + 1) / threads - share->first_episode;
        size_t rows = (size_t)share->episodes * MAX_EPISODE_STEPS + 1;
        share->rows.observations = allocate(rows * OBSERVATION_SIZE * sizeof(float));
        share->rows.actions = allocate(rows * sizeof(float));
        share->rows.rewards = allocate(rows * sizeof(float));
        share->rows.terminals = allocate(rows);
        share->rows.timeouts = allocate(rows);
    }
}

static void release(Share *shares, int threads) {
    for (int i = 0; i < threads; i++) {
        free(shares[i].rows.observations);
        free(shares[i].rows.actions);
        free(shares[i].rows.rewards);
        free(shares[i].rows.terminals);
        free(shares[i].rows.timeouts);
    }
}

/* Play all episodes once; returns the seconds it took. */
static double play_round(Share *shares, int threads) {
    pthread_t handles[MAX_THREADS];
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 1; i < threads; i++)
        if (pthread_create(&handles[i], NULL, play_share, &shares[i]) != 0) {
            fprintf(stderr, "error: thread %d cannot be started\n", i);
            exit(1);
        }
    play_share(&shares[0]);
    for (int i = 1; i < threads; i++)
        pthread_join(handles[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
}

/* Run some rounds and print one line of JSON: rows (the sum of all lengths) and fallen are of one round. */
static void report(Share *shares, int threads, int rounds) {
    int64_t rows = 0, fallen = 0;
    printf("{\"seconds\": [");
    for (int i = 0; i < rounds; i++)
        printf(i ? ", %.9f" : "%.9f", play_round(shares, threads));
    for (int i = 0; i < threads; i++) {
        rows += shares[i].rows_written;
        fallen += shares[i].fallen;
    }
    printf("], \"rows\": %" PRId64 ", \"fallen\": %" PRId64 "}\n", rows, fallen);
    fflush(stdout);
}

/* Whether another line came on standard input. */
static bool another_line(void) {
    int character;
    do
        character = getchar();
    while (character != '\n' && character != EOF);
    return character == '\n';
}

int main(int count, char **arguments) {
    if (count != 8) {
        fprintf(stderr, "usage: rollout_peer episodes threads key K D noise rounds\n");
        return 2;
    }
    int64_t episodes = strtoll(arguments[1], NULL, 10);
    int threads = (int)strtol(arguments[2], NULL, 10), rounds = (int)strtol(arguments[7], NULL, 10);
    Setting setting = {strtoull(arguments[3], NULL, 10), strtod(arguments[4], NULL),
                       strtod(arguments[5], NULL), strtod(arguments[6], NULL)};
    if (episodes < 1 || threads < 1 || threads > MAX_THREADS || rounds < 0) {
        fprintf(stderr, "error: expected at least 1 episode and 1 to %d threads\n", MAX_THREADS);
        return 2;
    }
    Share shares[MAX_THREADS];
    prepare(shares, threads, episodes, &setting);
    if (rounds > 0)
        report(shares, threads, rounds);
    else
        while (another_line())
            report(shares, threads, 1);
    release(shares, threads);
    return 0;
}
