//! Map layouts and datapath logic of svclb, without a kernel.
#![no_std]
