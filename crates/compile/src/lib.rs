//! Trained model to plan, parameters and error report.
