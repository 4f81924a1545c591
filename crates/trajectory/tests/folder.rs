//! A folder holds the same trajectories, however the work was divided or interrupted.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conjoint_core::observer::Reveal;
use conjoint_core::{Denoiser, Observer};
use conjoint_testkit::{ExactRefiner, GoodnessOfFit, StaleRefiner, TabularDenoiser, TabularJoint};
use conjoint_trajectory::{
    Error, FolderSettings, GivenText, Partition, Plan, Sampled, ShardIndex, Source, Store, Texts,
    Trajectory,
};

/// A joint over 5 positions of 3 symbols; the mask is 3.
fn model() -> Arc<dyn Denoiser> {
    let joint = TabularJoint::random(5, 3, 0.5, 1).unwrap();
    Arc::new(TabularDenoiser::new(joint).unwrap())
}

/// The law: the holes have the model's joint given the other positions.
#[test]
fn texts_with_holes_are_filled_from_the_joint_given_the_rest() {
    let joint = TabularJoint::random(5, 3, 0.5, 1).unwrap();
    let canvas = vec![3, 1, 3, 2, 3];
    let source = Sampled::from_canvases(vec![canvas], 4, model().vocabulary()).unwrap();
    assert_eq!(source.reveals(0), 3);
    let rows = source.make(&model(), 0..4000, 500, &mut ()).unwrap();
    for row in &rows {
        row.validate(3).unwrap();
        assert_eq!((row.prompt_len, row.tokens[1], row.tokens[3]), (0, 1, 2));
        assert_eq!(row.free(), [0, 2, 4]);
    }
    let texts = rows.iter().map(|row| &row.tokens);
    let test = GoodnessOfFit::test(texts, &joint.given(&[3, 1, 3, 2, 3]).unwrap(), 1e-6).unwrap();
    assert!(!test.rejects(), "{test:?}");
}

#[test]
fn texts_with_holes_may_differ_in_length_and_are_checked() {
    let words = model().vocabulary().clone();
    let of = |canvases: &[&[u32]]| {
        Sampled::from_canvases(canvases.iter().map(|c| c.to_vec()).collect(), 1, &words)
    };
    let source = of(&[&[3, 3, 0, 1, 2], &[3, 2, 1, 0, 3]]).unwrap();
    let rows = source.make(&model(), 0..4, 3, &mut ()).unwrap();
    for (row, order) in rows.iter().zip([[0, 1], [0, 4], [0, 1], [0, 4]]) {
        assert_eq!(row.free(), order);
    }
    assert_ne!(source.settings(), of(&[&[3, 3, 0, 1, 2]]).unwrap().settings());
    let bad: [&[&[u32]]; 4] = [&[], &[&[3, 3], &[3, 1]], &[&[3, 3, 9]], &[&[]]];
    for canvases in bad {
        assert!(of(canvases).is_err(), "{canvases:?}");
    }
    let error = of(&[&[3, 3], &[3, 1]]).err().unwrap().to_string();
    assert!(error.contains('2') && error.contains("holes"), "{error}");
    // Blocks count from the first hole.
    let source = of(&[&[3, 3, 3, 1, 3]]).unwrap().block_length(2).unwrap();
    let rows = source.make(&model(), 0..40, 3, &mut ()).unwrap();
    assert!(rows.iter().all(|row| row.order.iter().map(|&p| p / 2).is_sorted()), "{rows:?}");
    assert!(rows.iter().any(|row| !row.order.is_sorted()));
}

/// A source with prompts of different lengths, one of them empty.
fn sampled() -> Sampled {
    let prompts = vec![vec![], vec![2], vec![0, 1]];
    Sampled::new(prompts, 5, 11, model().vocabulary()).unwrap()
}

fn settings(source: &dyn Source) -> FolderSettings {
    source.settings().with("model", "a random joint")
}

fn partition(count: u64, per_file: u64, batch: usize) -> Partition {
    Partition { count, per_file, batch, share: ShardIndex::default() }
}

/// Makes the trajectories that a folder lacks, and returns their number.
fn make(folder: &Path, source: &dyn Source, partition: &Partition) -> Result<u64, Error> {
    let store = Store::claim(folder, settings(source))?;
    let plan = Plan::new(&store, source, partition)?;
    plan.run(&model(), &mut ())?;
    Ok(plan.trajectories())
}

fn read(folder: &Path, count: u64) -> Vec<Trajectory> {
    Store::open(folder).unwrap().read(Some(count)).unwrap()
}

/// The file that begins with a trajectory.
fn file(folder: &Path, first: u64) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let begins = |name: &str| name.starts_with(&format!("trajectories-{first:09}-"));
    let mut found = entries.filter(|entry| begins(entry.file_name().to_str().unwrap()));
    found.next().unwrap().path()
}

fn reference() -> Vec<Trajectory> {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &sampled(), &partition(50, 50, 50)).unwrap();
    read(folder.path(), 50)
}

#[test]
fn batches_files_and_shards_do_not_change_rows() {
    let expected = reference();
    for row in &expected {
        row.validate(3).unwrap();
        assert_eq!(row.prompt_len, (row.index % 3) as usize);
    }
    assert_eq!(expected[2].tokens[..2], [0, 1]);
    for (per_file, batch, shares) in [(7, 3, 1), (8, 16, 2), (1, 1, 3), (50, 4, 5)] {
        let folder = tempfile::tempdir().unwrap();
        let mut made = 0;
        for number in (1..=shares).rev() {
            let share = ShardIndex::new(number, shares).unwrap();
            let partition = Partition { share, ..partition(50, per_file, batch) };
            made += make(folder.path(), &sampled(), &partition).unwrap();
        }
        assert_eq!(made, 50);
        assert_eq!(read(folder.path(), 50), expected, "{per_file} {batch} {shares}");
    }
}

#[test]
fn a_folder_grows_without_making_a_trajectory_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut made = 0;
    for (count, per_file) in [(5, 4), (5, 4), (17, 6), (30, 7), (50, 16)] {
        made += make(folder.path(), &sampled(), &partition(count, per_file, 3)).unwrap();
        assert_eq!(made, count);
    }
    assert_eq!(read(folder.path(), 50), reference());
    assert_eq!(Store::open(folder.path()).unwrap().read(None).unwrap(), reference());
}

/// Panics after some reveals, which stands for a killed process.
struct Killed<'a>(&'a Cell<u32>);

impl Observer for Killed<'_> {
    fn on_reveal(&mut self, _: &Reveal) {
        self.0.set(self.0.get() + 1);
        assert!(self.0.get() < 60, "killed");
    }
}

#[test]
fn interrupted_files_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::claim(folder.path(), settings(&sampled())).unwrap();
    let source = sampled();
    let plan = Plan::new(&store, &source, &partition(50, 4, 4)).unwrap();
    let count = Cell::new(0);
    let run = std::panic::AssertUnwindSafe(|| plan.run(&model(), &mut Killed(&count)));
    assert!(std::panic::catch_unwind(run).is_err());
    // An incomplete temporary file of a killed process.
    std::fs::write(folder.path().join(".unfinished-x"), b"PAR1 half").unwrap();
    let missing = store.read(Some(50)).unwrap_err();
    assert!(matches!(&missing, Error::Missing { indices, .. } if indices.end == 50), "{missing}");
    let made = make(folder.path(), &sampled(), &partition(50, 4, 4)).unwrap();
    assert!((1..50).contains(&made), "{made}");
    assert_eq!(read(folder.path(), 50), reference());
}

#[test]
fn the_plan_reports_the_remaining_work() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::claim(folder.path(), settings(&sampled())).unwrap();
    let source = sampled();
    let plan = Plan::new(&store, &source, &partition(6, 4, 4)).unwrap();
    assert_eq!((plan.trajectories(), plan.reveals()), (6, 2 * (5 + 4 + 3)));
    struct Count(u64);
    impl Observer for Count {
        fn on_reveal(&mut self, _: &Reveal) {
            self.0 += 1;
        }
    }
    let mut count = Count(0);
    plan.run(&model(), &mut count).unwrap();
    assert_eq!(count.0, plan.reveals());
    assert_eq!(Plan::new(&store, &source, &partition(6, 4, 4)).unwrap().reveals(), 0);
}

#[test]
fn other_settings_and_damaged_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &sampled(), &partition(8, 4, 4)).unwrap();
    let warm = sampled().temperature(0.5).unwrap();
    let error = make(folder.path(), &warm, &partition(8, 4, 4)).unwrap_err().to_string();
    assert!(error.contains("temperature = 1, but 0.5 is given"), "{error}");

    // A file of another folder.
    let other = tempfile::tempdir().unwrap();
    make(other.path(), &warm.clone().top_p(0.9).unwrap(), &partition(12, 4, 4)).unwrap();
    let third = file(other.path(), 8);
    let copy = folder.path().join(third.file_name().unwrap());
    std::fs::copy(third, &copy).unwrap();
    let error = make(folder.path(), &sampled(), &partition(12, 4, 4)).unwrap_err().to_string();
    let name = copy.display().to_string();
    assert!(error.contains(&name) && error.contains("temperature = 0.5"), "{error}");
    std::fs::remove_file(copy).unwrap();

    // A truncated file, and a file under the name of another one.
    let (first, second) = (file(folder.path(), 0), file(folder.path(), 4));
    let [half, foreign] = [&first, &second].map(|path| std::fs::read(path).unwrap());
    for damaged in [&half[..half.len() / 2], &foreign] {
        std::fs::write(&first, damaged).unwrap();
        let error = make(folder.path(), &sampled(), &partition(8, 4, 4)).unwrap_err().to_string();
        let name = first.display().to_string();
        assert!(error.contains(&name) && error.contains("delete the file"), "{error}");
    }
    std::fs::remove_file(&first).unwrap();
    let misnamed = second.display().to_string().replace("04-000000008", "00-000000004");
    std::fs::rename(&second, &misnamed).unwrap();
    let error = make(folder.path(), &sampled(), &partition(8, 4, 4)).unwrap_err().to_string();
    assert!(error.contains(&misnamed) && error.contains("in its name"), "{error}");
    std::fs::remove_file(&misnamed).unwrap();
    assert_eq!(make(folder.path(), &sampled(), &partition(8, 4, 4)).unwrap(), 8);
    assert_eq!(read(folder.path(), 8), reference()[..8]);
    assert!(matches!(Store::open("nowhere"), Err(Error::Foreign { .. })));
}

/// The teacher-forced order of the model's own text equals the order in which the model sampled it.
#[test]
fn teacher_forcing_reproduces_the_sampling_order() {
    let text = |row: Trajectory| GivenText { tokens: row.tokens, prompt_len: row.prompt_len };
    let texts: Vec<GivenText> = reference().into_iter().map(text).collect();
    let source = Texts::new(texts, 5, model().vocabulary()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &source, &partition(50, 8, 3)).unwrap();
    assert_eq!(read(folder.path(), 50), reference());
    let beyond = make(folder.path(), &source, &partition(51, 8, 3));
    assert!(matches!(beyond, Err(Error::Parameter { .. })));
}

#[test]
fn blocks_are_revealed_from_left_to_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let tagged = || Sampled::new(vec![vec![2], vec![0]], 5, 11, model().vocabulary()).unwrap();
    let source = tagged().block_length(2).unwrap();
    make(&path("blocks"), &source, &partition(50, 50, 7)).unwrap();
    let rows = read(&path("blocks"), 50);
    for row in &rows {
        row.validate(3).unwrap();
        // Blocks begin after the prompt.
        assert!(row.order.iter().map(|&position| (position - 1) / 2).is_sorted(), "{row:?}");
    }
    // Within a block the order is that of entropy, not that of positions.
    assert!(rows.iter().any(|row| !row.order.is_sorted()));
    // One block for all positions is no block.
    make(&path("one"), &tagged().block_length(4).unwrap(), &partition(50, 50, 7)).unwrap();
    make(&path("none"), &tagged(), &partition(50, 50, 7)).unwrap();
    assert_eq!(read(&path("one"), 50), read(&path("none"), 50));
    assert_ne!(read(&path("none"), 50), rows);
    // The same texts are revealed in the same order.
    let text =
        |row: &Trajectory| GivenText { tokens: row.tokens.clone(), prompt_len: row.prompt_len };
    let texts = Texts::new(rows.iter().map(text).collect(), 5, model().vocabulary()).unwrap();
    make(&path("texts"), &texts.block_length(2).unwrap(), &partition(50, 50, 7)).unwrap();
    assert_eq!(read(&path("texts"), 50), rows);
    // The last block may be shorter.
    make(&path("three"), &tagged().block_length(3).unwrap(), &partition(50, 50, 7)).unwrap();
    let rows = read(&path("three"), 50);
    assert!(rows.iter().all(|row| row.order[3] == 4), "{rows:?}");
    assert!(rows.iter().any(|row| !row.order.is_sorted()), "{rows:?}");
    // The length is a setting.
    let other = make(&path("blocks"), &tagged(), &partition(50, 50, 7)).unwrap_err().to_string();
    assert!(other.contains("block length = 2, but none is given"), "{other}");
    let error = tagged().block_length(0).map(drop).unwrap_err().to_string();
    assert!(error.contains("block length") && error.contains("at least 1"), "{error}");
}

/// As [`reference`], but by a sampler layer.
fn drawn_by(
    layer: impl conjoint_core::SamplerLayer + 'static,
    tokens: &[usize],
    batch: usize,
) -> Vec<Trajectory> {
    let folder = tempfile::tempdir().unwrap();
    let source = sampled().joint(layer, "a layer", tokens.to_vec()).unwrap();
    make(folder.path(), &source, &partition(50, 50, batch)).unwrap();
    read(folder.path(), 50)
}

#[test]
fn a_sampler_layer_draws_several_tokens_per_forward() {
    // A layer with the model's exact conditionals draws the model's texts, for any number of tokens per forward.
    for tokens in [&[1][..], &[5], &[2, 3]] {
        assert_eq!(drawn_by(ExactRefiner, tokens, 7), reference(), "{tokens:?}");
    }
    // A layer with stale distributions draws others, except at one token per step. Three values of K shift by one against
    // three prompts, so that each prompt is combined with each K.
    let stale = drawn_by(StaleRefiner, &[1, 1, 4], 7);
    let differ = |i: &usize| stale[*i] != reference()[*i];
    let (four, one): (Vec<usize>, Vec<usize>) = (0..50).partition(|i| (i + i / 3) % 3 == 2);
    assert!(!one.iter().any(differ));
    assert!(four.iter().filter(|i| differ(i)).count() > 6);
    assert!((0..3).all(|prompt| four.iter().any(|i| i % 3 == prompt)));
    assert_eq!(drawn_by(StaleRefiner, &[1, 1, 4], 50), stale);
    for row in &stale {
        row.validate(3).unwrap();
    }

    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &sampled(), &partition(8, 4, 4)).unwrap();
    let joint = |named: &str, tokens: &[usize]| {
        sampled().joint(ExactRefiner, named, tokens.to_vec()).map(|source| {
            make(folder.path(), &source, &partition(8, 4, 4)).unwrap_err().to_string()
        })
    };
    let error = joint("layer 1", &[2, 3]).unwrap();
    assert!(error.contains("sampler = none, but layer 1 is given"), "{error}");
    for bad in [&[][..], &[2, 0]] {
        let error = joint("layer 1", bad).unwrap_err();
        assert!(error.to_string().contains("tokens a step"), "{error}");
    }
}

#[test]
fn unusable_parameters_are_rejected() {
    let vocabulary = model().vocabulary().clone();
    let prompt = |prompt: &[u32]| Sampled::new(vec![vec![1], prompt.to_vec()], 5, 0, &vocabulary);
    for bad in [&[4][..], &[3], &[0; 4], &[0; 6]] {
        let error = prompt(bad).map(drop).unwrap_err();
        assert!(matches!(error, Error::Given { kind: "prompt", number: 2, .. }), "{error}");
    }
    assert!(Sampled::new(vec![], 5, 0, &vocabulary).is_err());
    for t in [0.0, -1.0, f64::NAN] {
        assert!(sampled().temperature(t).is_err() && sampled().top_p(t).is_err());
    }
    let text = |tokens: &[u32]| {
        let text = GivenText { tokens: tokens.to_vec(), prompt_len: 0 };
        Texts::new(vec![text], 5, &vocabulary).map(|texts| texts.reveals(0))
    };
    assert_eq!(text(&[0, 1, 2, 0, 1]).unwrap(), 5);
    // The vocabulary has no end-of-sequence id to pad with.
    assert!(text(&[0, 1]).unwrap_err().to_string().contains("end-of-sequence"));
    assert!(text(&[0; 6]).is_err() && text(&[3; 5]).is_err());
    let ending = vocabulary.clone().with_eos(2).unwrap();
    let short = GivenText { tokens: vec![0, 1], prompt_len: 1 };
    assert_eq!(Texts::new(vec![short], 5, &ending).unwrap().reveals(0), 4);
    for shard in ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2"] {
        assert!(shard.parse::<ShardIndex>().is_err(), "{shard}");
    }
    assert_eq!("2/3".parse::<ShardIndex>().unwrap(), ShardIndex::new(2, 3).unwrap());
}
