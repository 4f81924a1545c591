use conjoint_train::TrainError;

use crate::flag::InvalidArgument;

/// Names the flag that caused an error of the trainer.
pub fn with_flag(error: TrainError) -> anyhow::Error {
    let (flag, value) = match &error {
        TrainError::Invalid { name, got, expected } => match flag(name) {
            Some(flag) => {
                return InvalidArgument::new(flag, got, format!("expected {expected}")).into();
            }
            None => return error.into(),
        },
        TrainError::TooFewTrajectories { held_out, .. } => ("--held-out", held_out.to_string()),
        TrainError::LongText { length, .. } => ("--length", length.to_string()),
        TrainError::SpecialToken { role, .. } => {
            let flag = if *role == "mask" { "--mask-id" } else { "--eos" };
            return InvalidArgument::missing(flag, error).into();
        }
        TrainError::ForeignFolder { path } | TrainError::OtherOptions { path, .. } => {
            let folder = path.parent().unwrap_or(path);
            ("--dir", folder.display().to_string())
        }
        _ => return error.into(),
    };
    InvalidArgument::new(flag, value, error).into()
}

/// The flag of an option of the trainer.
fn flag(option: &str) -> Option<&'static str> {
    Some(match option {
        "adamw_rate" => "--adamw",
        "average_decay" => "--average-decay",
        "batch" => "--batch",
        "beta_2" => "--beta2",
        "checkpoint_steps" => "--checkpoint-steps",
        "clip" => "--clip",
        "depth_weights" => "--depth-weights",
        "device" => "--device",
        "domains" => "--domains",
        "early_limit" => "--early-limit",
        "early_power" => "--early-power",
        "held_out" => "--held-out",
        "hidden_size" => "--hidden",
        "init" => "--init",
        "intermediate_size" => "--ffn",
        "lambda_start" => "--lambda-start",
        "lambda_teacher" => "--lambda-teacher",
        "layers" | "num_hidden_layers" => "--layers",
        "max_minutes" => "--minutes",
        "max_steps" => "--steps",
        "micro_batch" => "--micro-batch",
        "muon_rate" => "--muon",
        "num_attention_heads" => "--heads",
        "num_key_value_heads" => "--kv-heads",
        "own_share" => "--own-share",
        "patience" => "--patience",
        "prompt" => "--prompt-length",
        "progressive_share" => "--progressive-share",
        "progressive_turns" => "--progressive-turns",
        "random_share" => "--random-share",
        "rope_theta" => "--rope-theta",
        "start_gain" => "--start-gain",
        "temperature" => "--distil-temperature",
        "validation_rows" => "--validation-rows",
        "weight_decay" => "--weight-decay",
        "window" => "--window",
        "window share" => "--window-share",
        "workers" => "--workers",
        _ => return None,
    })
}
