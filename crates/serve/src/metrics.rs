//! Metrics, in the text format of Prometheus.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use conjoint::{FinishReason, Output};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// The metrics of a server.
pub struct Metrics {
    registry: Registry,
    /// Answers by path and status.
    pub requests: Family<RequestLabels, Counter>,
    /// Ended sequences by the reason of their end.
    sequences: Family<EndLabels, Counter>,
    /// Sequences that run.
    pub running: Gauge,
    /// Sequences that wait.
    pub waiting: Gauge,
    /// Full forwards, one for each sequence of a batch.
    pub forwards: Counter,
    /// Sampler passes, one for each sequence of a batch.
    pub passes: Counter,
    /// Revealed tokens, those that are remasked later included.
    pub reveals: Counter,
    /// From a request to the end of its answer.
    request_seconds: Histogram,
    /// A moving mean of the time of a request.
    mean_request: Mutex<f64>,
    /// From a request to its first step.
    queue_seconds: Histogram,
    /// Steps of a batch.
    pub step_seconds: Histogram,
    /// Tokens of a finished sequence per full forward.
    tokens_per_forward: Histogram,
    memory: Gauge<u64, AtomicU64>,
    /// Reads the memory of the process.
    system: Mutex<System>,
}

/// The labels of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The path, as the server defines it.
    pub path: &'static str,
    /// The HTTP status.
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    reason: Reason,
}

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "these are the values of the label")]
enum Reason {
    /// All positions are filled.
    length,
    /// A stop text or an end-of-sequence token.
    stop,
    /// The client went away, or the server stopped.
    cancelled,
    /// The time of the request was over.
    deadline,
    /// The strategy or the model failed.
    error,
}

impl Metrics {
    /// Registers all metrics.
    pub fn new() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 18));
        let made = Self {
            registry: Registry::with_prefix("conjoint"),
            requests: Family::default(),
            sequences: Family::default(),
            running: Gauge::default(),
            waiting: Gauge::default(),
            forwards: Counter::default(),
            passes: Counter::default(),
            reveals: Counter::default(),
            request_seconds: seconds(),
            mean_request: Mutex::new(1.0),
            queue_seconds: seconds(),
            step_seconds: seconds(),
            tokens_per_forward: Histogram::new(exponential_buckets(0.5, 2.0, 9)),
            memory: Gauge::default(),
            system: Mutex::new(System::new()),
        };
        made.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("requests", "Answers by path and status", self.requests.clone());
        registry.register("sequences", "Ended sequences by reason", self.sequences.clone());
        registry.register("running_sequences", "Sequences that run", self.running.clone());
        registry.register("waiting_sequences", "Sequences in the queue", self.waiting.clone());
        let of = "one for each sequence of a batch";
        registry.register("forwards", format!("Full forwards, {of}"), self.forwards.clone());
        registry.register("sampler_passes", format!("Sampler passes, {of}"), self.passes.clone());
        registry.register("revealed_tokens", "Revealed tokens", self.reveals.clone());
        let timed = [
            ("request", "From a request to the end of its answer", &self.request_seconds),
            ("queue", "From a request to its first step", &self.queue_seconds),
            ("step", "One denoising step of the batch", &self.step_seconds),
        ];
        for (name, help, histogram) in timed {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        let help = "Tokens of a finished sequence per full forward";
        registry.register("tokens_per_forward", help, self.tokens_per_forward.clone());
        let help = "Memory of the process";
        registry.register_with_unit("resident_memory", help, Unit::Bytes, self.memory.clone());
        self
    }

    /// A sequence began after this time in the queue.
    pub fn began(&self, waited: Duration) {
        self.queue_seconds.observe(waited.as_secs_f64());
    }

    /// A request was answered after this time.
    pub fn request_seconds(&self, time: Duration) {
        self.request_seconds.observe(time.as_secs_f64());
        let mut mean = self.mean_request.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *mean += 0.1 * (time.as_secs_f64() - *mean);
    }

    /// The mean time of the last requests, in seconds.
    pub fn mean_request_seconds(&self) -> f64 {
        *self.mean_request.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A sequence ended with this output.
    pub fn finished(&self, output: &Output) {
        let reason = match output.finish {
            FinishReason::Length => Reason::length,
            FinishReason::Deadline => Reason::deadline,
            FinishReason::Cancelled => Reason::cancelled,
            _ => Reason::stop,
        };
        if output.denoiser_calls > 0 && !output.finish.is_early() {
            self.tokens_per_forward.observe(output.drawn as f64 / output.denoiser_calls as f64);
        }
        self.sequences.get_or_create(&EndLabels { reason }).inc();
    }

    /// A sequence failed.
    pub fn failed(&self) {
        self.sequences.get_or_create(&EndLabels { reason: Reason::error }).inc();
    }

    /// All metrics as text.
    pub fn text(&self) -> String {
        self.memory.set(self.memory_bytes());
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// The resident memory of the process; 0 where the system does not tell.
    fn memory_bytes(&self) -> u64 {
        let mut system = self.system.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let own = Pid::from_u32(std::process::id());
        let memory = ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, memory);
        system.process(own).map_or(0, sysinfo::Process::memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_metric() {
        let metrics = Metrics::new();
        metrics.requests.get_or_create(&RequestLabels { path: "/v1/models", status: 200 }).inc();
        let mut output = Output::new(vec![1; 8], 0..8);
        output.denoiser_calls = 2;
        metrics.finished(&output);
        metrics.began(Duration::from_millis(3));
        let text = metrics.text();
        for line in [
            "conjoint_requests_total{path=\"/v1/models\",status=\"200\"} 1",
            "conjoint_sequences_total{reason=\"length\"} 1",
            "conjoint_running_sequences 0",
            "conjoint_waiting_sequences 0",
            "conjoint_forwards_total 0",
            "conjoint_sampler_passes_total 0",
            "conjoint_revealed_tokens_total 0",
            "conjoint_tokens_per_forward_sum 4.0",
            "conjoint_queue_seconds_bucket{le=\"0.004\"} 1",
            "conjoint_request_seconds_count 0",
            "conjoint_step_seconds_count 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        let memory = text.lines().find(|line| line.starts_with("conjoint_resident_memory_bytes"));
        let bytes: u64 = memory.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(bytes > 1_000_000, "{bytes}");
    }
}
