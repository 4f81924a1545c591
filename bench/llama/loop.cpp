// Greedy sampling of a masked diffusion model with llama.cpp, to race `conjoint bench` against.
//
//   loop MODEL.gguf REPORT.json OUT.json [--block-length B] [--steps N] [--flash-attention off] [--logits FILE]
//   loop --quantize IN.gguf OUT.gguf q8_0|q4_0
//
// Does the work of a report of `conjoint bench --json`: the same prompts, lengths, K and number of threads. A step
// decodes the whole sequence with all logits, as llama.cpp's own diffusion command does. It then reveals the K masked
// positions of the current block whose rows have the lowest entropy, each with its most probable token. Row i of Dream
// predicts position i + 1.
//
// llama.cpp's flash attention, its default, rounds keys and values to float16. `--flash-attention off` computes
// attention in float32. `--steps` stops each sequence after N steps. `--logits` writes the logits of the first forward
// as float32 [T, V].
#include "llama.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

using json = nlohmann::json;
using Tokens = std::vector<llama_token>;

static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Row {
    float entropy;
    llama_token best;
};

// Entropy and most probable token of a row of logits. The mask is never drawn.
static Row row_of(float * logits, int size, llama_token mask) {
    logits[mask] = -1e30f;
    const int best = int(std::max_element(logits, logits + size) - logits);
    const float top = logits[best];
    float sum = 0, weighted = 0;
#pragma omp simd reduction(+ : sum, weighted)
    for (int i = 0; i < size; i++) {
        const float x = std::max(logits[i] - top, -80.0f), p = std::exp(x);
        sum += p;
        weighted += p * x;
    }
    return {std::log(sum) - weighted / sum, best};
}

struct Loop {
    llama_context * context;
    llama_token mask;
    int size;   // of the vocabulary
    int threads;
    int block;  // tokens of a block
    int steps;  // of a sequence at most, or -1
    std::string logits_file;
    double forward_seconds = 0;
    int forwards = 0;

    // Logits [T, V].
    float * forward(const Tokens & tokens) {
        const double start = now();
        llama_batch batch = llama_batch_init(int(tokens.size()), 0, 1);
        batch.n_tokens = int(tokens.size());
        for (int i = 0; i < batch.n_tokens; i++) {
            batch.token[i] = tokens[i];
            batch.pos[i] = i;
            batch.n_seq_id[i] = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i] = 1;
        }
        const int status = llama_decode(context, batch);
        llama_batch_free(batch);
        if (status != 0) throw std::runtime_error("llama_decode failed with " + std::to_string(status));
        float * logits = llama_get_logits(context);  // waits for the result
        forward_seconds += now() - start;
        forwards++;
        if (!logits_file.empty()) {
            const auto bytes = std::streamsize(sizeof(float) * size * tokens.size());
            std::ofstream(logits_file, std::ios::binary).write(reinterpret_cast<char *>(logits), bytes);
            logits_file.clear();
        }
        return logits;
    }

    // Reveals up to k of these masked positions.
    void step(Tokens & tokens, const std::vector<int> & masked, int k) {
        float * logits = forward(tokens);
        std::vector<Row> rows(masked.size());
#pragma omp parallel for num_threads(threads)
        for (int i = 0; i < int(masked.size()); i++) {
            rows[i] = row_of(logits + size_t(std::max(masked[i] - 1, 0)) * size, size, mask);
        }
        std::vector<int> order(masked.size());
        std::iota(order.begin(), order.end(), 0);
        const auto less = [&](int a, int b) { return rows[a].entropy < rows[b].entropy; };
        std::stable_sort(order.begin(), order.end(), less);
        order.resize(std::min(order.size(), size_t(k)));
        for (int i : order) tokens[masked[i]] = rows[i].best;
    }

    Tokens generate(Tokens tokens, int length, int k) {
        const int begin = int(tokens.size()), total = begin + length;
        tokens.resize(total, mask);
        for (int start = begin, taken = 0; start < total; start += block) {
            for (; taken != steps; taken++) {
                std::vector<int> masked;
                for (int i = start; i < std::min(start + block, total); i++) {
                    if (tokens[i] == mask) masked.push_back(i);
                }
                if (masked.empty()) break;
                step(tokens, masked, k);
            }
        }
        return tokens;
    }

    // A run of the report: its times and tokens.
    json race(const json & report, const json & run) {
        const std::string setting = run["setting"];
        if (setting.rfind("K = ", 0) != 0) throw std::runtime_error("invalid setting `" + setting + "`: expected K");
        const int k = std::stoi(setting.substr(4)), length = report["gen_length"];
        forwards = 0, forward_seconds = 0;
        std::vector<Tokens> sequences;
        const double start = now();
        for (const json & prompt : report["prompts"]) sequences.push_back(generate(prompt, length, k));
        const double seconds = now() - start;
        long tokens = 0;
        for (const Tokens & sequence : sequences) {
            tokens += length - long(std::count(sequence.begin(), sequence.end(), mask));
        }
        return {
            {"strategy", "marginal"}, {"setting", setting}, {"tokens", tokens},
            {"seconds", seconds}, {"all_seconds", {seconds}},
            {"forwards", forwards}, {"sampler_passes", 0}, {"forward_seconds", forward_seconds / forwards},
            {"rows_per_forward", double(sequences[0].size())}, {"sequences", sequences},
        };
    }
};

static int quantize(const std::string & in, const std::string & out, const std::string & kind) {
    if (kind != "q8_0" && kind != "q4_0") {
        throw std::runtime_error("invalid kind `" + kind + "`: expected q8_0 or q4_0");
    }
    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = kind == "q8_0" ? LLAMA_FTYPE_MOSTLY_Q8_0 : LLAMA_FTYPE_MOSTLY_Q4_0;
    return int(llama_model_quantize(in.c_str(), out.c_str(), &params));
}

static void race(const std::string & file, const json & report, const std::string & out, const json & flags) {
    const int length = report["gen_length"], total = int(report["prompt_length"]) + length;
    const int threads = report["threads"];
    const auto number = [&](const char * flag, int otherwise) {
        return flags.contains(flag) ? std::stoi(flags[flag].get<std::string>()) : otherwise;
    };
    llama_model * model = llama_model_load_from_file(file.c_str(), llama_model_default_params());
    if (!model) throw std::runtime_error("cannot load " + file);
    llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = total;
    params.n_threads = params.n_threads_batch = threads;
    if (flags.value("--flash-attention", "auto") == "off") params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    llama_context * context = llama_init_from_model(model, params);
    if (!context) throw std::runtime_error("cannot make a context of " + std::to_string(total) + " positions");
    char mask[32];
    if (llama_model_meta_val_str(model, "tokenizer.ggml.mask_token_id", mask, sizeof mask) < 0) {
        throw std::runtime_error(file + " has no mask token");
    }
    Loop loop{
        context, std::stoi(mask), llama_vocab_n_tokens(llama_model_get_vocab(model)), threads,
        number("--block-length", length), number("--steps", -1), flags.value("--logits", ""),
    };
    Tokens canvas = report["prompts"][0];
    canvas.resize(total, loop.mask);
    loop.forward(canvas);  // warm up
    json runs = json::array();
    for (const json & run : report["runs"]) runs.push_back(loop.race(report, run));
    const json steps = loop.steps < 0 ? json() : json(loop.steps);
    std::ofstream(out) << json{
        {"program", "llama.cpp"}, {"threads", threads}, {"steps", steps}, {"mask", loop.mask}, {"runs", runs},
    };
    llama_free(context);
    llama_model_free(model);
}

int main(int argc, char ** argv) try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    const auto log = [](ggml_log_level level, const char * text, void *) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
    };
    llama_log_set(log, nullptr);
    llama_backend_init();
    if (arguments.size() == 4 && arguments[0] == "--quantize") {
        return quantize(arguments[1], arguments[2], arguments[3]);
    }
    if (arguments.size() < 3 || arguments.size() % 2 == 0) {
        throw std::runtime_error("expected MODEL.gguf REPORT.json OUT.json, and flags with a value each");
    }
    json flags = json::object();
    for (size_t i = 3; i < arguments.size(); i += 2) flags[arguments[i]] = arguments[i + 1];
    race(arguments[0], json::parse(std::ifstream(arguments[1])), arguments[2], flags);
    llama_backend_free();
    return 0;
} catch (const std::exception & error) {
    std::fprintf(stderr, "loop: %s\n", error.what());
    return 1;
}
