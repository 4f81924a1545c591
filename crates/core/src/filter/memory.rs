use std::any::{Any, TypeId};

/// The state that filters keep for one sequence from step to step, one value for each type.
///
/// Two filters of a chain that keep a value of the same type share it.
#[derive(Default)]
pub struct Memory(Vec<(TypeId, Box<dyn Any + Send>)>);

impl Memory {
    /// Returns the value of this type; its default if there is none yet.
    pub fn of<T: Any + Send + Default>(&mut self) -> &mut T {
        let id = TypeId::of::<T>();
        let place = self.0.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
            self.0.push((id, Box::new(T::default())));
            self.0.len() - 1
        });
        self.0[place].1.downcast_mut().expect("an entry has the type of its id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_a_type() {
        let mut memory = Memory::default();
        *memory.of::<u32>() += 7;
        memory.of::<Vec<u8>>().push(1);
        *memory.of::<u32>() += 1;
        assert_eq!((*memory.of::<u32>(), memory.of::<Vec<u8>>().len()), (8, 1));
    }
}
