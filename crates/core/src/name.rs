//! Names of types in error messages.

/// The name of a type without its path and parameters.
pub(crate) fn short<T: ?Sized>() -> &'static str {
    let name = std::any::type_name::<T>();
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_and_no_parameters() {
        assert_eq!(short::<crate::unmasker::Marginal>(), "Marginal");
        assert_eq!(short::<Vec<crate::Canvas>>(), "Vec");
    }
}
